"""What is on a tile: blocks, broken lines and cells, the order of lines, and a picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from afmc.common.tables import Listing, count, facts
from afmc.errors import OptionError
from afmc.hardware.defect_map import WORKS, Crossbar, DefectMap
from afmc.inspect.layer import span
from afmc.inspect.picture import draw, letters
from afmc.program.program import SCHEMA_VERSION, Program
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import CompiledProgram


def tile_json(compiled: CompiledProgram, place: str) -> dict[str, Any]:
    """``inspect --tile CHIP/TILE[/TIER] --json``: every crossbar that is asked for."""
    program, target = compiled.program, compiled.target
    chip, tile, tier = _parse(compiled, place)
    layout = compiled.layout
    if tier is not None:
        tiers = [tier]
    else:
        of_tile = (program.placements["chip"] == chip) & (program.placements["tile"] == tile)
        tiers = np.unique(program.placements["tier"][of_tile]).tolist() or [0]
    return {
        "schema_version": SCHEMA_VERSION,
        "model": program.model.name,
        "target": target.name,
        "chip": chip,
        "tile": tile,
        "tiers": target.tile.tiers,
        "crossbars": [
            _crossbar(program, target, (chip, tile, each), layout.on((chip, tile, each)))
            for each in tiers
        ],
    }


def _parse(compiled: CompiledProgram, place: str) -> tuple[int, int, int | None]:
    """A place that the hardware has, or OptionError."""
    program, target = compiled.program, compiled.target
    if re.fullmatch(r"\d+/\d+(/\d+)?", place) is None:
        raise OptionError(
            f"--tile {place!r} is not CHIP/TILE or CHIP/TILE/TIER, for instance 0/12 or 0/12/3."
        )
    chip, tile, *rest = map(int, place.split("/"))
    used = compiled.layout.chips
    chips = target.system.chips
    if chip >= (used if chips is None else chips):
        has = f"{program.model.name} uses" if chips is None else "the system has"
        number = used if chips is None else chips
        raise OptionError(
            f"--tile {place}: there is no chip {chip}; {has} {_up_to(number, 'chip')}."
        )
    for name, index, number in (
        ("tile", tile, target.chip.tiles),
        ("tier", rest[0] if rest else 0, target.tile.tiers),
    ):
        if index >= number:
            owner = "chip" if name == "tile" else "tile"
            raise OptionError(
                f"--tile {place}: there is no {name} {index}; a {owner} of {target.name} has "
                f"{_up_to(number, name)}."
            )
    return chip, tile, rest[0] if rest else None


def _up_to(number: int, what: str) -> str:
    return f"{what} 0 only" if number == 1 else f"{number:,} {what}s, 0 to {number - 1}"


def _crossbar(program: Program, target: Target, place: Crossbar, parts: Any) -> dict[str, Any]:
    held = int(parts["rows"].astype(np.int64) @ parts["cols"])
    rows, columns = target.crossbar.rows, target.crossbar.columns
    return {
        "tier": place[2],
        "rows": rows,
        "columns": columns,
        "utilization": held / (rows * columns),
        "blocks": [
            {
                "letter": letter,
                "matrix": program.matrices[part["matrix"]].name,
                **{key: int(part[key]) for key in part.dtype.names if key not in _ADDRESS},
            }
            for letter, part in zip(letters(len(parts)), parts, strict=True)
        ],
        "defects": _defects(program, target, place),
        "order": _order(program, place),
    }


_ADDRESS = ("matrix", "chip", "tile", "tier")


def _defects(program: Program, target: Target, place: Crossbar) -> dict[str, Any] | None:
    """What the map of defects says of a crossbar; None without a map."""
    if program.defects is None:
        return None
    known = DefectMap(program.defects, target)
    chip, tile, tier = place
    rows, columns = known.live_lines(place)
    polarities = 1 if target.device.encoding == "offset" else 2
    devices = range(target.device.devices_per_polarity)
    stuck = 0
    if program.defects.has_stuck_cells:
        stuck = sum(
            int((known.stuck(place, polarity, device) != WORKS).sum())
            for polarity in range(polarities)
            for device in devices
        )
    return {
        "dead": bool(known.crossbars(np.asarray([chip]))["dead"][0, tile, tier]),
        "dead_rows": np.setdiff1d(np.arange(target.crossbar.rows), rows).tolist(),
        "dead_columns": np.setdiff1d(np.arange(target.crossbar.columns), columns).tolist(),
        "stuck_devices": stuck,
        "devices": polarities * len(devices) * target.crossbar.rows * target.crossbar.columns,
    }


def _order(program: Program, place: Crossbar) -> dict[str, list[int]] | None:
    """The physical lines in the order in which they are filled; None where that is ascending."""
    lines = program.order_of.get(place)
    return None if lines is None else {"rows": lines[0].tolist(), "columns": lines[1].tolist()}


def render_tile(compiled: CompiledProgram, place: str, lines: int) -> RenderableType:
    """Renders it for a person, no table longer than so many lines."""
    from rich.console import Group
    from rich.text import Text

    found = tile_json(compiled, place)
    crossbars = found["crossbars"]
    if len(crossbars) > 1:
        return Group(facts(_facts(found, compiled.target)), _tiers(found, lines))
    [crossbar] = crossbars
    parts: list[RenderableType] = [
        facts([*_facts(found, compiled.target), *_crossbar_facts(crossbar)])
    ]
    if crossbar["blocks"]:
        parts.append(_blocks(crossbar, lines))
        rectangles = [(b["at_row"], b["at_col"], b["rows"], b["cols"]) for b in crossbar["blocks"]]
        picture = draw(crossbar["rows"], crossbar["columns"], rectangles)
        parts += map(Text, picture)
    return Group(*parts)


def _facts(found: Mapping[str, Any], target: Target) -> Iterator[tuple[str, str]]:
    yield (
        "tile",
        f"{found['tile']} of chip {found['chip']}, {found['model']} on {found['target']}",
    )
    used = found["crossbars"]
    if found["tiers"] > 1 and len(used) > 1:
        yield "tiers", f"{len(used):,} of {found['tiers']:,} hold something"
    elif found["tiers"] > 1:
        yield "tier", f"{used[0]['tier']} of {found['tiers']:,}"
    yield "crossbar", f"{target.crossbar.rows} rows x {target.crossbar.columns} columns"


def _crossbar_facts(crossbar: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    blocks = len({block["block"] for block in crossbar["blocks"]})
    if not blocks:
        yield "holds", "nothing"
    else:
        yield "cells used", f"{100 * crossbar['utilization']:.1f} %, {count(blocks, 'block')}"
    defects = crossbar["defects"]
    if defects is not None:
        yield "defects", _broken(defects)
    if crossbar["order"] is not None:
        rows, columns = crossbar["order"]["rows"], crossbar["order"]["columns"]
        yield (
            "order",
            f"permuted: rows are filled in the order {_start(rows)}, columns in the order "
            f"{_start(columns)}; positions below count in it",
        )
    elif defects is not None and (defects["dead_rows"] or defects["dead_columns"]):
        yield "order", "ascending; positions below count without the dead lines"


def _broken(defects: Mapping[str, Any]) -> str:
    if defects["dead"]:
        return "the crossbar is dead"
    each = [
        _lines(defects[f"dead_{name}s"], name)
        for name in ("row", "column")
        if defects[f"dead_{name}s"]
    ]
    if defects["stuck_devices"]:
        share = 100 * defects["stuck_devices"] / defects["devices"]
        each.append(f"{defects['stuck_devices']:,} stuck devices ({share:.2g} %)")
    return "; ".join(each) or "none here"


def _lines(dead: Sequence[int], name: str) -> str:
    return f"{count(len(dead), f'dead {name}')} ({_start(dead)})"


def _start(numbers: Sequence[int]) -> str:
    """The first few."""
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")


def _blocks(crossbar: Mapping[str, Any], lines: int) -> RenderableType:
    blocks = crossbar["blocks"]
    columns: dict[str, tuple[bool, Callable[[Mapping[str, Any]], str]]] = {
        "matrix": (True, lambda block: f"{block['letter']} {block['matrix']}".lstrip()),
        "copy": (any(b["copy"] for b in blocks), lambda block: f"{block['copy']:,}"),
        "replica": (any(b["replica"] for b in blocks), lambda block: f"{block['replica']:,}"),
        "rows": (True, lambda block: span(block["row"], block["rows"])),
        "columns": (True, lambda block: span(block["col"], block["cols"])),
        "its rows": (True, lambda block: span(block["at_row"], block["rows"])),
        "its columns": (True, lambda block: span(block["at_col"], block["cols"])),
        "cells": (True, lambda block: f"{100 * block['rows'] * block['cols'] / cells:.1f} %"),
    }
    cells = crossbar["rows"] * crossbar["columns"]
    used = {heading: cell for heading, (is_used, cell) in columns.items() if is_used}
    rows = [[cell(block) for cell in used.values()] for block in blocks[:lines]]
    if len(blocks) > lines:
        rows.append([f"and {len(blocks) - lines:,} more (--lines)", *[""] * (len(used) - 1)])
    title = "rows and columns of the matrix; its: of the crossbar"
    return Listing(title, list(used), rows, names=True)


def _tiers(found: Mapping[str, Any], lines: int) -> RenderableType:
    headings = ("tier", "blocks", "cells", "matrices")
    crossbars = found["crossbars"]
    rows = [
        (
            f"{crossbar['tier']}",
            f"{len({block['block'] for block in crossbar['blocks']}):,}",
            f"{100 * crossbar['utilization']:.0f} %",
            ", ".join(dict.fromkeys(block["matrix"] for block in crossbar["blocks"])),
        )
        for crossbar in crossbars[:lines]
    ]
    if len(crossbars) > lines:
        rows.append((f"and {len(crossbars) - lines:,} more (--lines)", "", "", ""))
    place = f"{found['chip']}/{found['tile']}/{crossbars[0]['tier']}"
    return Listing(f"tiers (--tile {place} shows one)", headings, rows, ("matrices",))
