"""Tiles to chips, in the order in which data flows, past what is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from afmc.errors import CapacityError
from afmc.ir import PLACEMENT, Program
from afmc.passes.avoid import MORE, assign, chips_needed, extents, most_chips
from afmc.passes.slots import per_chip, slots
from afmc.targets import Target


@dataclass(frozen=True)
class Place:
    """Fills crossbar after crossbar, in the order of `afmc.passes.slots`. Dead ones are passed by;
    one with dead lines gets the next tile that fits on what is left of it."""

    def __call__(self, program: Program, target: Target) -> Program:
        needs, defects = extents(program), program.defects
        chips = chips_needed(needs, target, defects)
        available = target.system.chips
        if chips is None or (available is not None and chips > available):
            raise _too_few(program, target, len(needs), chips)
        table = program.allocations
        free = slots(target, chips, defects)
        where = free[assign(needs, free)[table["tile"]]]
        placements = np.zeros(len(table), PLACEMENT)
        for key in ("chip", "tile", "tier"):
            placements[key] = where[key]
        for key in ("block", "row", "col"):
            placements[key] = table[key]
        return replace(program, placements=placements)


def _too_few(program: Program, target: Target, tiles: int, chips: int | None) -> CapacityError:
    """`chips` is how many it takes; None where no number is enough."""
    available, defects = target.system.chips, program.defects
    arrays = "tiles" if target.tile.tiers == 1 else "tiers of tiles"
    if chips is None:
        assert defects is not None
        tried = most_chips(tiles, target)
        return CapacityError(
            f"{program.model.name} needs {tiles} {arrays} of {target.name}, but {defects.name} "
            f"breaks so much that even {tried} chips, {MORE} times as many as without defects, "
            f"are not enough.",
            tried + 1,
            tried if available is None else available,
        )
    assert available is not None
    broken = ""
    if defects is not None:
        left = len(slots(target, available, defects))
        broken = f", of all of which {defects.name} leaves {left}"
    return CapacityError(
        f"{program.model.name} needs {chips} chips of {target.name} ({tiles} {arrays}, "
        f"{per_chip(target)} a chip{broken}), but the system has {available}: "
        f"{chips - available} missing.",
        chips,
        available,
    )
