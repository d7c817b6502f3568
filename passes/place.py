"""Tiles to chips, in the order in which data flows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from afmc.errors import CapacityError
from afmc.ir import PLACEMENT, Program
from afmc.targets import Target


@dataclass(frozen=True)
class Place:
    """Fills chip after chip. On stacked tiles, neighbours go to different tiles before the next
    tier begins, because a tile drives one tier at a time.
    """

    def __call__(self, program: Program, target: Target) -> Program:
        table = program.allocations
        per_chip = target.chip.tiles * target.tile.tiers
        tiles = int(table["tile"].max(initial=-1)) + 1
        chips = -(-tiles // per_chip)
        if target.system.chips is not None and chips > target.system.chips:
            available = target.system.chips
            arrays = "tiles" if target.tile.tiers == 1 else "tiers of tiles"
            raise CapacityError(
                f"{program.model.name} needs {chips} chips of {target.name} ({tiles} {arrays}, "
                f"{per_chip} a chip), but the system has {available}: {chips - available} missing.",
                chips,
                available,
            )
        placements = np.zeros(len(table), PLACEMENT)
        chip, within = np.divmod(table["tile"], per_chip)
        placements["chip"] = chip
        placements["tile"] = within % target.chip.tiles
        placements["tier"] = within // target.chip.tiles
        for key in ("block", "row", "col"):
            placements[key] = table[key]
        return replace(program, placements=placements)
