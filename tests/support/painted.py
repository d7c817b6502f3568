"""The rules of a mapping, by painting cell after cell: slow and obvious.

What `afmc verify` says is held against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from afmc.program.program import Table

Block = dict[str, int]


def faults(data: Mapping[str, Any], tables: Mapping[str, Table]) -> set[str]:
    """Names of the rules that the tables break; of `program.json` all but counts is right."""
    blocks = [_named(row) for row in tables["blocks"]]
    if any(block["rows"] < 1 or block["cols"] < 1 for block in blocks):
        return {"files"}
    broken = set(_matrices(data["groups"], blocks))
    places = {}
    for name in ("allocations", "placements"):
        rows = [_named(row) for row in tables[name]]
        places[name] = {row["block"]: row for row in rows}
        if sorted(row["block"] for row in rows) != list(range(len(blocks))):
            return broken | {"once"}
    merged = [{**block, **_moved(places["placements"][i])} for i, block in enumerate(blocks)]
    allocated = [places["allocations"][i] for i in range(len(blocks))]
    if "owners" not in broken:
        broken |= _co_location(data, merged) | _placing(data, merged)
    return (
        broken
        | _turns(data["allocation"], merged)
        | set(_crossbars(data["target"], merged))
        | set(_claims(data, merged, allocated))
    )


def _named(row: Any) -> Block:
    return {name: int(row[name]) for name in row.dtype.names}


def _moved(place: Block) -> Block:
    """A placement beside a block, whose own row and column have the same names."""
    return {f"at_{key}" if key in ("row", "col") else key: place[key] for key in place}


def _matrices(groups: Any, blocks: list[Block]) -> set[str]:
    wanted = {
        (index, copy, replica)
        for index, group in enumerate(groups)
        for copy in range(group["copies"])
        for replica in range((group["replicas"] or [1] * group["copies"])[copy])
    }
    painted: dict[tuple[int, ...], Counter[tuple[int, int]]] = defaultdict(Counter)
    strips: dict[tuple[int, ...], dict[tuple[int, int], int]] = defaultdict(Counter)
    for block in blocks:
        holder = tuple(block[key] for key in ("group", "copy", "replica"))
        painted[holder].update(_cells(block, "row", "col"))
        strips[holder][block["row"], block["rows"]] += block["cols"]
    if set(painted) != wanted:
        return {"owners"}
    for holder, cells in painted.items():
        group = groups[holder[0]]
        whole = {(r, c) for r in range(group["rows"]) for c in range(group["cols"])}
        if set(cells) != whole or max(cells.values()) > 1:
            return {"cover"}
    for holder, of_holder in strips.items():
        if any(cols != groups[holder[0]]["cols"] for cols in of_holder.values()):
            return {"row cuts"}
    return set()


def _cells(block: Block, row: str, col: str) -> list[tuple[int, int]]:
    rows = range(block[row], block[row] + block["rows"])
    cols = range(block[col], block[col] + block["cols"])
    return [(r, c) for r in rows for c in cols]


def _crossbars(target: Any, blocks: list[Block]) -> set[str]:
    broken = set()
    limits = {
        "chip": target["system"]["chips"],
        "tile": target["chip"]["tiles"],
        "tier": target["tile"]["tiers"],
    }
    painted: Counter[tuple[int, ...]] = Counter()
    for block in blocks:
        if any(not 0 <= block[key] < limit for key, limit in limits.items()):
            broken.add("chips")
        rows = range(target["crossbar"]["rows"])
        cols = range(target["crossbar"]["columns"])
        for row, col in _cells(block, "at_row", "at_col"):
            painted[block["chip"], block["tile"], block["tier"], row, col] += 1
            if row not in rows or col not in cols:
                broken.add("crossbars")
    return broken | ({"overlap"} if max(painted.values()) > 1 else set())


def _co_location(data: Any, blocks: list[Block]) -> set[str]:
    for one, other in combinations(blocks, 2):
        if any(one[key] != other[key] for key in ("chip", "tile", "tier")):
            continue
        rule = data["allocation"]["rule"]
        if rule == "exclusive" or (rule == "parallel" and not _together(data, one, other)):
            return {"co-location"}
    return set()


def _placing(data: Any, blocks: list[Block]) -> set[str]:
    """The reads of each tile, counted block after block."""
    reads: Counter[tuple[int, int]] = Counter()
    for block in blocks:
        group = data["groups"][block["group"]]
        matrix = next(m for m in data["matrices"] if m["name"] == group["members"][0])
        replicas = (group["replicas"] or [1] * group["copies"])[block["copy"]]
        uses = matrix["per_token"] / group["copies"] / replicas
        reads[block["chip"], block["tile"]] += uses
    said = data["placing"]
    wrong = abs(said["load"] - max(reads.values())) > 1e-3
    return {"placing"} if wrong or said["chips"] != max(b["chip"] for b in blocks) + 1 else set()


def _turns(proof: Any, blocks: list[Block]) -> set[str]:
    """Blocks on one line, and blocks on one crossbar, counted line after line."""
    if proof["rule"] != "serial":
        return set()
    lines: Counter[tuple[Any, ...]] = Counter()
    crossbars: Counter[tuple[int, ...]] = Counter()
    for block in blocks:
        at = (block["chip"], block["tile"], block["tier"])
        crossbars[at] += 1
        for axis, size in (("at_row", "rows"), ("at_col", "cols")):
            lines.update((*at, axis, block[axis] + n) for n in range(block[size]))
    deepest = [max(n for (*at, _, _), n in lines.items() if tuple(at) == one) for one in crossbars]
    most = list(crossbars.values())
    low, high = sum(deepest) / len(crossbars), sum(most) / len(crossbars)
    fine = max(deepest) <= proof["turns"] <= max(most) and low <= proof["mean_turns"] <= high
    return set() if fine else {"turns"}


def _together(data: Any, one: Block, other: Block) -> bool:
    """Nothing waits: on common rows the same input, on common columns the same sum."""

    def lines(block: Block, start: str, size: str) -> set[int]:
        return set(range(block[start], block[start] + block[size]))

    def same(*keys: str) -> bool:
        return all(one[key] == other[key] for key in keys)

    def read(block: Block) -> tuple[str, float]:
        name = data["groups"][block["group"]]["members"][0]
        matrix = next(m for m in data["matrices"] if m["name"] == name)
        return matrix["input"], matrix["input_range"]

    if lines(one, "at_row", "rows") & lines(other, "at_row", "rows") and not (
        read(one) == read(other) and same("copy", "replica", "row", "rows", "at_row")
    ):
        return False
    if lines(one, "at_col", "cols") & lines(other, "at_col", "cols"):
        return same("group", "copy", "replica", "col", "cols", "at_col")
    return True


def _claims(data: Any, blocks: list[Block], allocated: list[Block]) -> set[str]:
    broken = set()
    crossbar = [(b["chip"], b["tile"], b["tier"]) for b in blocks]
    tile = [a["tile"] for a in allocated]
    for i, j in combinations(range(len(blocks)), 2):
        if (crossbar[i] == crossbar[j]) != (tile[i] == tile[j]):
            broken.add("agreement")
    if any(
        (a["row"], a["col"]) != (b["at_row"], b["at_col"])
        for a, b in zip(allocated, blocks, strict=True)
    ):
        broken.add("agreement")
    summary = data["summary"]
    proof, used = data["allocation"], len(set(crossbar))
    area = sum(b["rows"] * b["cols"] for b in blocks)
    one = data["target"]["crossbar"]["rows"] * data["target"]["crossbar"]["columns"]
    cells = used * one
    too_high = (proof["bounds"].get("area", 1) - 1) * one >= area
    if used != proof["tiles"] or proof["lower_bound"] > used or too_high:
        broken.add("bounds")
    figures = {
        "blocks": len(blocks),
        "tiles_used": used,
        "chips_used": max(b["chip"] for b in blocks) + 1,
        "utilization": area / cells,
    }
    system = data["target"]["system"]["chips"]
    crossbars = system * data["target"]["chip"]["tiles"] * data["target"]["tile"]["tiers"]
    limits = [
        ("chips", figures["chips_used"], system),
        ("crossbars", used, crossbars),
        ("cells", area, crossbars * one),
    ]
    said = [(limit["of"], limit["demand"], limit["supply"]) for limit in summary["limits"]]
    replicas = sum(b["replica"] > 0 for b in blocks)
    figures["replicas"] = replicas
    summary = {**summary, "replicas": summary["replication"]["replicas"]}
    if said != limits or any(summary[key] != value for key, value in figures.items()):
        broken.add("summary")
    first = sum(b["rows"] * b["cols"] for b in blocks if b["replica"] == 0)
    return broken | ({"weights"} if first != summary["weights_analog"] else set())
