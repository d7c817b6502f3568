"""The crossbars of a system, in the order in which they are filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from afmc.hardware.defect_map import DefectMap
from afmc.hardware.defects import Defects
from afmc.targets import Target

# A crossbar, and how much of it can be used.
SLOT = np.dtype(
    [("chip", "<i4"), ("tile", "<i4"), ("tier", "<i4"), ("rows", "<i4"), ("cols", "<i4")]
)


def per_chip(target: Target) -> int:
    """Crossbars of a chip."""
    return target.chip.tiles * target.tile.tiers


def slots(target: Target, chips: int, defects: Defects | None = None) -> NDArray[np.void]:
    """Chip after chip. On stacked tiles a tier of every tile comes before the next tier, because a
    tile drives one tier at a time: neighbours do not wait for one another.

    Dead crossbars are left out, and dead lines count neither as rows nor as columns.
    """
    every = np.zeros((chips, target.tile.tiers, target.chip.tiles), SLOT)
    every["chip"] = np.arange(chips)[:, None, None]
    every["tier"] = np.arange(target.tile.tiers)[:, None]
    every["tile"] = np.arange(target.chip.tiles)
    every["rows"], every["cols"] = target.crossbar.rows, target.crossbar.columns
    table = every.ravel()
    if defects is None:
        return table
    crossbars = DefectMap(defects, target).crossbars(np.arange(chips))
    here = crossbars[table["chip"], table["tile"], table["tier"]]
    table["rows"], table["cols"] = here["rows"], here["cols"]
    return table[~here["dead"]]
