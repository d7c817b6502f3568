"""What a mapping takes of a system, and how much of it there is."""

from __future__ import annotations

import numpy as np

from afmc.fit import Limit
from afmc.hardware.crossbars import per_chip, slots
from afmc.program.program import Program
from afmc.targets import Target


def limits(program: Program, target: Target, chips: int) -> tuple[Limit, ...]:
    """Limits of chips, crossbars and cells, for an allocated program; none where the system is
    unlimited.

    `chips` is how many the mapping takes. Dead crossbars and lines are not counted as supply.
    """
    if target.system.chips is None or program.allocation is None:
        return ()
    crossbars, supply = alive(program, target, target.system.chips)
    cells = int(program.blocks["rows"].astype(np.int64) @ program.blocks["cols"])
    return (
        Limit("chips", chips, target.system.chips),
        Limit("crossbars", program.allocation.tiles, crossbars),
        Limit("cells", cells, supply),
    )


def alive(program: Program, target: Target, chips: int) -> tuple[int, int]:
    """Crossbars that are not dead, and the cells on their rows and columns that are not."""
    if program.defects is None:
        crossbars = chips * per_chip(target)
        return crossbars, crossbars * target.crossbar.rows * target.crossbar.columns
    table = slots(target, chips, program.defects)
    return len(table), int(table["rows"].astype(np.int64) @ table["cols"])
