"""Tiles to chips, in the order in which data flows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from afmc.errors import CapacityError
from afmc.ir import PLACEMENT, Program
from afmc.passes.slots import per_chip, slots
from afmc.targets import Target


@dataclass(frozen=True)
class Place:
    """Fills crossbar after crossbar, in the order of `afmc.passes.slots`."""

    def __call__(self, program: Program, target: Target) -> Program:
        table = program.allocations
        tiles = int(table["tile"].max(initial=-1)) + 1
        chips = -(-tiles // per_chip(target))
        if target.system.chips is not None and chips > target.system.chips:
            available = target.system.chips
            arrays = "tiles" if target.tile.tiers == 1 else "tiers of tiles"
            raise CapacityError(
                f"{program.model.name} needs {chips} chips of {target.name} ({tiles} {arrays}, "
                f"{per_chip(target)} a chip), but the system has {available}: "
                f"{chips - available} missing.",
                chips,
                available,
            )
        where = slots(target, chips)[table["tile"]]
        placements = np.zeros(len(table), PLACEMENT)
        for key in ("chip", "tile", "tier"):
            placements[key] = where[key]
        for key in ("block", "row", "col"):
            placements[key] = table[key]
        return replace(program, placements=placements)
