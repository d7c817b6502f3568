"""Where the matrices of a layer are, and what is on their tiles besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from afmc.common.tables import Listing, count, facts, listed
from afmc.inspect.kinds import kind_of, pieces_of
from afmc.inspect.selection import select
from afmc.program.layout import Layout, sorted_set
from afmc.program.model import Matrix
from afmc.program.program import SCHEMA_VERSION, Group, Program, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import CompiledProgram

MOST_BLOCKS = 10_000  # in JSON; `afmc export` has all
PLACE = ("chip", "tile", "tier")


def layer_json(compiled: CompiledProgram, name: str) -> dict[str, Any]:
    """``inspect --layer NAME --json``: the matrices of that name, at most `MOST_BLOCKS` blocks."""
    return _layer(compiled, name, MOST_BLOCKS)


def _layer(compiled: CompiledProgram, name: str, most: int) -> dict[str, Any]:
    program, target = compiled.program, compiled.target
    matrices = select(program, name, "--layer")
    layout = compiled.layout
    parts = layout.of_all([matrix.name for matrix in matrices])
    rows = list(_matrices(program, layout, matrices, parts))
    return {
        "schema_version": SCHEMA_VERSION,
        "model": program.model.name,
        "target": target.name,
        "layer": name,
        "matrices": rows,
        "blocks_total": len(sorted_set(parts["block"])),
        "blocks": [_block(program, part) for part in parts[:most]],
        "chips": _chips(layout, parts),
        "shares_tiles_with": _neighbours(program, layout, matrices, parts),
    }


def _matrices(
    program: Program, layout: Layout, matrices: Sequence[Matrix], parts: Table
) -> Iterator[dict[str, Any]]:
    of_part = parts["matrix"].copy()  # a search of a column would copy it every time
    for matrix in matrices:
        ends = np.searchsorted(of_part, layout.number[matrix.name] + np.arange(2))
        mine = parts[ends[0] : ends[1]]
        reason = (program.digital or {}).get(matrix.name)
        row = {
            "name": matrix.name,
            "module": matrix.module,
            "rows": matrix.rows,
            "cols": matrix.cols,
            "copies": matrix.copies,
            "per_token": matrix.per_token,
            "input_range": matrix.input_range,
            "slice_ranges": list(matrix.slice_ranges),
            "side": "analog" if reason is None else "digital",
            "reason": reason,
            "full_scale": _full_scale(program, matrix),
        }
        yield row | (
            _mapped(program.groups[layout.group_of[matrix.name]], layout, matrix, mine)
            if matrix.name in layout.group_of
            else {}
        )


def _full_scale(program: Program, matrix: Matrix) -> dict[str, list[float]] | None:
    """`Distribution` of a matrix; None where it is not known."""
    if program.distributions is None or matrix.name not in program.distributions.matrices:
        return None
    known = program.distributions.matrices[matrix.name]
    return {"weights": list(known.weights), "inputs": list(known.inputs)}


def _mapped(group: Group, layout: Layout, matrix: Matrix, parts: Table) -> dict[str, Any]:
    first = layout.first_column[matrix.name]
    crossbars = len(sorted_set(layout.crossbar_of(parts)))
    _, _, rows, columns = layout.grid
    held = int(parts["rows"].astype(np.int64) @ parts["cols"])
    return {
        "group": group.name,
        "merged_with": [name for name in group.members if name != matrix.name],
        "columns_in_group": [first, first + matrix.cols],
        "cut_into": pieces_of(parts[(parts["copy"] == 0) & (parts["replica"] == 0)]),
        "blocks": len(parts),
        "replicas": list(group.replicas) or [1] * group.copies,
        "crossbars": crossbars,
        "chips": len(sorted_set(parts["chip"])),
        "utilization": held / (crossbars * rows * columns),
    }


def _block(program: Program, part: Any) -> dict[str, Any]:
    numbers = {key: int(part[key]) for key in part.dtype.names if key != "matrix"}
    return {"matrix": program.matrices[part["matrix"]].name, **numbers}


def _chips(layout: Layout, parts: Table) -> list[dict[str, int]]:
    _, one = np.unique(parts["block"], return_index=True)
    blocks = Counter(parts["chip"][one].tolist())
    tiles, tiers, _, _ = layout.grid
    chip, tile = divmod(sorted_set(layout.crossbar_of(parts)) // tiers, tiles)
    chips, first, number = np.unique(chip, return_index=True, return_counts=True)
    return [
        {
            "chip": each,
            "blocks": blocks[each],
            "crossbars": crossbars,
            "first_tile": lowest,
            "last_tile": highest,
        }
        for each, crossbars, lowest, highest in zip(
            chips.tolist(),
            number.tolist(),
            tile[first].tolist(),
            tile[first + number - 1].tolist(),
            strict=True,
        )
    ]


def _neighbours(
    program: Program, layout: Layout, matrices: Sequence[Matrix], parts: Table
) -> list[dict[str, Any]]:
    """Other matrices on the same crossbars, by kind, with how many of these they are on."""
    names = {matrix.name for matrix in matrices}
    more = np.array([not names.issuperset(group.members) for group in program.groups], np.bool_)
    theirs = more[program.blocks["group"][program.placements["block"]]]
    here = np.zeros(int(layout.crossbars.max(initial=-1)) + 1, np.bool_)
    here[layout.crossbar_of(parts)] = True
    others = layout.parts_at(np.flatnonzero(theirs & here[layout.crossbars]))
    chosen = np.zeros(len(program.matrices), np.bool_)
    chosen[[layout.number[name] for name in names]] = True
    others = others[~chosen[others["matrix"]]]
    kinds: dict[str, int] = {}
    kind = np.asarray([kinds.setdefault(kind_of(m.name), len(kinds)) for m in program.matrices])
    of_part, crossbar = kind[others["matrix"]], layout.crossbar_of(others)
    blocks = Counter(of_part.tolist())
    pairs = np.unique(np.stack([of_part, crossbar]), axis=1)
    shared = Counter(pairs[0].tolist())
    return [
        {"matrices": name, "blocks": blocks[number], "crossbars": shared[number]}
        for name, number in kinds.items()
        if number in blocks
    ]


def render_layer(compiled: CompiledProgram, name: str, lines: int) -> RenderableType:
    """Renders it for a person, no table longer than so many lines."""
    from rich.console import Group as Several

    found = _layer(compiled, name, lines)
    matrices, total = found["matrices"], found["blocks_total"]
    analog = [row for row in matrices if row["side"] == "analog"]
    parts: list[RenderableType] = [facts(_facts(found, analog)), _table(matrices, lines)]
    if total:
        fits = sum(row["blocks"] for row in analog) <= lines
        parts.append(_blocks(found, compiled.layout) if fits else _by_chip(found, lines))
    return Several(*parts)


def _facts(
    found: Mapping[str, Any], analog: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    matrices = found["matrices"]
    weights = sum(row["rows"] * row["cols"] * row["copies"] for row in matrices)
    yield "layer", f"{found['layer']} of {found['model']} on {found['target']}"
    digital = len(matrices) - len(analog)
    yield (
        "matrices",
        f"{len(matrices):,} ({len(analog):,} analog, {digital:,} digital); {weights:,} weights",
    )
    reasons = Counter(row["reason"] for row in matrices if row["side"] == "digital")
    if reasons:
        yield "digital", "; ".join(f"{number:,}: {why}" for why, number in reasons.items())
    if len(analog) == 1 and (merged := analog[0]["merged_with"]):
        first, end = analog[0]["columns_in_group"]
        yield "merged with", f"{listed(merged)}; columns {first} to {end - 1} are this one's"
    ranges = sorted({each for row in analog for each in _ranges(row)})
    if ranges:
        between = f"{ranges[0]:.6g}" + (f" to {ranges[-1]:.6g}" if len(ranges) > 1 else "")
        yield "input range", f"±{between}, in units of the activation"
    if analog:
        yield "shares tiles", _shared(found["shares_tiles_with"], len(matrices))
    copied = [row for row in analog if max(row["replicas"]) > 1]
    if copied:
        more = sum(sum(row["replicas"]) - row["copies"] for row in copied)
        each = max(max(row["replicas"]) for row in copied)
        yield (
            "replicas",
            f"{count(more, 'more copy', 'more copies')} of the weights of "
            f"{count(len(copied), 'matrix', 'matrices')}, so that tokens share them; at most "
            f"{each:,} of one",
        )


def _clipped(row: Mapping[str, Any]) -> str:
    """The share of its inputs that the converters clip."""
    inputs = row["full_scale"] and row["full_scale"]["inputs"]
    return f"{100 * inputs[0]:.2g} %" if inputs else ""


def _ranges(row: Mapping[str, Any]) -> list[float]:
    """Input range of all rows, or of each row slice that has its own."""
    one = [] if row["input_range"] is None else [row["input_range"]]
    return row["slice_ranges"] or one


def _between(values: Sequence[float]) -> list[float]:
    """The least and the largest; one where they are the same."""
    return sorted({min(values), max(values)}) if values else []


def _shared(others: Sequence[Mapping[str, Any]], matrices: int) -> str:
    if not others:
        return "with no other matrix" if matrices == 1 else "with none but one another"
    each = [
        f"{other['matrices']} ({count(other['blocks'], 'block')} on "
        f"{count(other['crossbars'], 'crossbar')})"
        for other in others
    ]
    return f"with {listed(each)}"


def _table(matrices: Sequence[Mapping[str, Any]], lines: int) -> RenderableType:
    columns: dict[str, tuple[bool, Callable[[Mapping[str, Any]], str]]] = {
        "matrix": (True, lambda row: row["name"]),
        "rows x cols": (True, lambda row: f"{row['rows']} x {row['cols']}"),
        "copies": (any(row["copies"] > 1 for row in matrices), lambda row: f"{row['copies']:,}"),
        "range": (
            any(row["input_range"] is not None for row in matrices),
            lambda row: " to ".join(f"{each:.4g}" for each in _between(_ranges(row))),
        ),
        "clipped": (
            any(row["full_scale"] and row["full_scale"]["inputs"] for row in matrices),
            _clipped,
        ),
        "cut into": (True, lambda row: row.get("cut_into", "digital")),
        "blocks": (True, lambda row: f"{row['blocks']:,}" if "blocks" in row else ""),
        "crossbars": (True, lambda row: f"{row['crossbars']:,}" if "blocks" in row else ""),
        "chips": (True, lambda row: f"{row['chips']:,}" if "blocks" in row else ""),
        "cells": (
            True,
            lambda row: f"{100 * row['utilization']:.0f} %" if "blocks" in row else "",
        ),
    }
    used = {heading: cell for heading, (is_used, cell) in columns.items() if is_used}
    rows = [[cell(row) for cell in used.values()] for row in matrices[:lines]]
    if len(matrices) > lines:
        rows.append([f"and {len(matrices) - lines:,} more (--lines)", *[""] * (len(used) - 1)])
    title = "matrices; cells: their share of those of their crossbars"
    return Listing(title, list(used), rows, names=True)


def _blocks(found: Mapping[str, Any], layout: Layout) -> RenderableType:
    several = len({block["matrix"] for block in found["blocks"]}) > 1
    copies = max(row["copies"] for row in found["matrices"]) > 1
    replicas = max(block["replica"] for block in found["blocks"]) > 0
    columns: dict[str, tuple[bool, Callable[[Mapping[str, Any]], str]]] = {
        "matrix": (several, lambda b: b["matrix"]),
        "copy": (copies, lambda b: f"{b['copy']:,}"),
        "replica": (replicas, lambda b: f"{b['replica']:,}"),
        "rows": (True, lambda b: span(b["row"], b["rows"])),
        "columns": (True, lambda b: span(b["col"], b["cols"])),
        "chip/tile" + "/tier" * (layout.grid[1] > 1): (True, layout.address),
        "its rows": (True, lambda b: span(b["at_row"], b["rows"])),
        "its columns": (True, lambda b: span(b["at_col"], b["cols"])),
    }
    used = {heading: cell for heading, (is_used, cell) in columns.items() if is_used}
    rows = [[cell(block) for cell in used.values()] for block in found["blocks"]]
    return Listing("where the blocks are; its: of the crossbar", list(used), rows, names=several)


def _by_chip(found: Mapping[str, Any], lines: int) -> RenderableType:
    chips = found["chips"]
    rows = [
        (
            f"{chip['chip']:,}",
            f"{chip['blocks']:,}",
            f"{chip['crossbars']:,}",
            f"{chip['first_tile']}-{chip['last_tile']}",
        )
        for chip in chips[:lines]
    ]
    if len(chips) > lines:
        blocks = sum(chip["blocks"] for chip in chips[lines:])
        rows.append((f"and {len(chips) - lines:,} more (--lines)", f"{blocks:,}", "", ""))
    title = (
        f"where the {found['blocks_total']:,} blocks are, by chip (--lines shows up to so many one "
        "by one, afmc export writes all to a file)"
    )
    return Listing(title, ("chip", "blocks", "crossbars", "tiles"), rows)


def span(first: int, length: int) -> str:
    """``0-511``, both included."""
    return f"{first}-{first + length - 1}"
