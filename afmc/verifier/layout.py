"""Whether blocks are where the hardware lets them be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from afmc.verifier.intervals import clashing_lines, depths, find_overlap, key_of
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted, more

_ORDER = {"exclusive": 0, "parallel": 1, "serial": 2}
"""What one rule allows, those after it allow too."""


def once(mapped: Mapped) -> Finding:
    """Every block has one line in the allocation table and one in the placements."""
    blocks = len(mapped.areas)
    problems: list[str] = []
    tables = {"allocations": mapped.allocations, "placements": mapped.placements}
    for name, table in tables.items():
        block = table["block"]
        unknown = np.flatnonzero((block < 0) | (block >= blocks))
        if len(unknown):
            problems.append(
                f"line {unknown[0]} of {name} is about block {block[unknown[0]]}, but there are "
                f"{counted(blocks, 'block')}{more(len(unknown))}"
            )
        times = np.bincount(np.delete(block, unknown), minlength=blocks)
        wrong = np.flatnonzero(times != 1)
        if len(wrong):
            lines = f"{times[wrong[0]]} lines" if times[wrong[0]] else "no line"
            problems.append(f"block {wrong[0]} has {lines} in {name}{more(len(wrong))}")
    return Finding({name: len(table["block"]) for name, table in tables.items()}, tuple(problems))


def inside(mapped: Mapped) -> Finding:
    """Every block is inside its crossbar."""
    rows, columns = mapped.target.crossbar.rows, mapped.target.crossbar.columns
    of = mapped.on_crossbars
    outside = (of.row < 0) | (of.row + of.rows > rows) | (of.col < 0) | (of.col + of.cols > columns)
    problems = []
    if outside.any():
        first = int(outside.argmax())
        problems.append(
            f"{mapped.block(first)} begins at row {of.row[first]}, column {of.col[first]} of "
            f"{mapped.crossbar(first)} and reaches over the edge of {rows} x {columns}"
            f"{more(int(outside.sum()))}"
        )
    return Finding({"blocks": len(outside), "rows": rows, "columns": columns}, tuple(problems))


def places(mapped: Mapped) -> Finding:
    """Every block is on a chip, a tile and a tier that the hardware has."""
    target = mapped.target
    limits = {
        "chip": ("the system", target.system.chips),
        "tile": ("a chip", target.chip.tiles),
        "tier": ("a tile", target.tile.tiers),
    }
    problems = []
    for key, (where, limit) in limits.items():
        at = mapped.placed[key]
        outside = (at < 0) | (at >= (np.inf if limit is None else limit))
        if outside.any():
            first = int(outside.argmax())
            has = "" if limit is None else f" and {where} has {limit:,}"
            problems.append(
                f"{mapped.block(first)} is on {key} {at[first]}, but {key}s are counted from 0{has}"
                f"{more(int(outside.sum()))}"
            )
    chips = len(np.unique(mapped.placed["chip"]))
    return Finding({"chips": chips, "crossbars": len(mapped.crossbars[1])}, tuple(problems))


def overlaps(mapped: Mapped) -> Finding:
    """No two blocks are on the same cells of a crossbar."""
    found = find_overlap(mapped.on_crossbars)
    problems = []
    if found is not None:
        problems.append(
            f"blocks {found.one} and {found.other} are both on row {found.row}, column {found.col} "
            f"of {mapped.crossbar(found.one)}{more(found.pairs, found.complete)}"
        )
    return Finding({"crossbars": len(mapped.crossbars[1])}, tuple(problems))


def neighbours(mapped: Mapped) -> Finding:
    """Blocks share a crossbar only as the co-location rule allows.

    The rule is the program's own, or the hardware's where that is stricter and no option of a pass
    asked for more.
    """
    rule, notes = _rule(mapped)
    crossbar, first = mapped.crossbars
    shared = int((np.bincount(crossbar) > 1).sum())
    problems: list[str] = []
    if rule == "exclusive":
        second = np.ones(len(crossbar), np.bool_)
        second[first] = False
        if second.any():
            other = int(second.argmax())
            one = int(first[crossbar[other]])
            problems.append(
                f"blocks {one} and {other} share {mapped.crossbar(one)}, but the rule is exclusive"
                f"{more(int(second.sum()))}"
            )
    elif rule == "parallel":
        problems += _clashes(mapped)
    return Finding({"crossbars": len(first), "shared": shared}, tuple(problems), notes)


def _rule(mapped: Mapped) -> tuple[str, tuple[str, ...]]:
    claimed, hardware = mapped.program.proof.rule, mapped.target.tile.co_location
    if _ORDER[claimed] <= _ORDER[hardware]:
        return claimed, (f"by the rule {claimed}",)
    asked = any(options.get("rule") == claimed for options in mapped.program.options.values())
    if asked and mapped.target is mapped.own:
        return claimed, (
            f"by the rule {claimed}, which an option asked for; {mapped.target.name} by itself "
            f"allows {hardware}",
        )
    return hardware, (
        f"by the rule {hardware} of {mapped.target.name}, not by the program's rule {claimed}",
    )


def _clashes(mapped: Mapped) -> Iterator[str]:
    """Lines that several blocks share although they carry different inputs or outputs."""
    of, blocks = mapped.on_crossbars, mapped.blocks
    outputs = (blocks[key] for key in ("group", "copy", "replica", "col", "cols"))
    signals = {"rows": mapped.inputs, "columns": key_of(*outputs)}
    lines = {"rows": (of.row, of.rows), "columns": (of.col, of.cols)}
    different = {"rows": "read different inputs", "columns": "do not add up to the same outputs"}
    for axis, signal in signals.items():
        clash = clashing_lines(of.field, *lines[axis], signal)
        if len(clash):
            one, other = sorted(clash[0].tolist())
            yield (
                f"{mapped.block(one)} and {mapped.block(other)} share {axis} of "
                f"{mapped.crossbar(one)}, but {different[axis]} there{more(len(clash), False)}"
            )


def agreement(mapped: Mapped) -> Finding:
    """Allocation and placements put the same blocks together, at the same rows and columns."""
    tile, on_tile = mapped.tiles
    crossbar, on_crossbar = mapped.crossbars
    problems = []
    # Against the first block on the same tile, and on the same crossbar.
    partner = on_tile[tile]
    apart = np.flatnonzero(crossbar != crossbar[partner])
    if len(apart):
        one, other = int(partner[apart[0]]), int(apart[0])
        problems.append(
            f"blocks {one} and {other} share tile {mapped.allocated['tile'][one]} of the "
            f"allocation, but are placed on {mapped.crossbar(one)} and {mapped.crossbar(other)}"
            f"{more(len(apart))}"
        )
    partner = on_crossbar[crossbar]
    together = np.flatnonzero(tile != tile[partner])
    if len(together):
        one, other = int(partner[together[0]]), int(together[0])
        problems.append(
            f"blocks {one} and {other} are both placed on {mapped.crossbar(one)}, but are on tiles "
            f"{mapped.allocated['tile'][one]} and {mapped.allocated['tile'][other]} of the "
            f"allocation{more(len(together))}"
        )
    moved = (mapped.allocated["row"] != mapped.placed["row"]) | (
        mapped.allocated["col"] != mapped.placed["col"]
    )
    if moved.any():
        at = int(moved.argmax())
        wanted, found = (
            f"row {table['row'][at]}, column {table['col'][at]}"
            for table in (mapped.allocated, mapped.placed)
        )
        problems.append(
            f"{mapped.block(at)} is allocated to {wanted}, but placed at {found}"
            f"{more(int(moved.sum()))}"
        )
    return Finding({"tiles": len(on_tile), "crossbars": len(on_crossbar)}, tuple(problems))


def turns(mapped: Mapped) -> Finding:
    """Where blocks take turns, there are as many as share a line, and no more than blocks."""
    proof = mapped.program.proof
    crossbar, first = mapped.crossbars
    problems = []
    least = most = np.ones(len(first), np.int64)
    if proof.rule == "serial":
        of = mapped.on_crossbars
        least, most = np.zeros(len(first), np.int64), np.bincount(crossbar)
        for start, size in ((of.row, of.rows), (of.col, of.cols)):
            np.maximum.at(least, crossbar, depths(crossbar, start, size))
    if proof.turns < least.max(initial=1):
        at = mapped.crossbar(int(first[least.argmax()]))
        problems.append(
            f"allocation.turns is {proof.turns:,}, but {least.max():,} blocks are on one line of "
            f"{at}."
        )
    if proof.turns > most.max(initial=1):
        why = (
            f"no crossbar holds more than {counted(int(most.max()), 'block')}"
            if proof.rule == "serial"
            else f"under the rule {proof.rule} nothing waits"
        )
        problems.append(f"allocation.turns is {proof.turns:,}, but {why}.")
    low, high = (float(each.mean()) if len(first) else 1.0 for each in (least, most))
    if not low * (1 - 1e-9) <= proof.mean_turns <= high * (1 + 1e-9):
        problems.append(
            f"allocation.mean_turns is {proof.mean_turns:g}, but is at least {low:g} and at most "
            f"{high:g}."
        )
    return Finding({"turns": proof.turns, "at least": int(least.max(initial=1))}, tuple(problems))
