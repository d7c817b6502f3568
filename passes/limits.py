"""What a mapping takes of a system, and how much of it there is."""

from __future__ import annotations

import numpy as np

from afmc.ir import Limit, Program
from afmc.passes.slots import per_chip
from afmc.targets import Target


def limits(program: Program, target: Target, chips: int) -> tuple[Limit, ...]:
    """Of chips, crossbars and cells, for an allocated program; none where the system is unlimited.

    `chips` is how many the mapping takes.
    """
    if target.system.chips is None or program.allocation is None:
        return ()
    crossbars = target.system.chips * per_chip(target)
    cells = int(program.blocks["rows"].astype(np.int64) @ program.blocks["cols"])
    return (
        Limit("chips", chips, target.system.chips),
        Limit("crossbars", program.allocation.tiles, crossbars),
        Limit("cells", cells, crossbars * target.crossbar.rows * target.crossbar.columns),
    )
