"""Calibration of a manufactured instance: each column's gain and offset, measured and made up for.

Random inputs go through the tiles as they are, converters and noise included; a straight line is
fitted to what comes out against what should. Gain and offset are then taken back digitally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from afmc.simulator.row_slice import Plane, RowSlice

_LEAST_GAIN = 0.1
"""A column with less gives too little to be made up for, and is left as it is."""


@dataclass(frozen=True)
class Correction:
    """By row slice and column, in units of full input times weight."""

    gain: Tensor
    """Measured over wanted, [slices, cols]."""
    offset: Tensor
    """Measured at zero, [slices, cols]."""

    def apply_to(self, slices: Sequence[RowSlice]) -> Tensor:
        """Divides the slices' digital gain; what is to be added to their sum, [cols].

        Offsets were there before drift was compensated, and grow with what is compensated now.
        """
        total = torch.zeros_like(self.offset[0])
        for part, gain, offset in zip(slices, self.gain, self.offset, strict=True):
            part.gain = part.gain / gain
            total -= part.compensation * offset / gain
        return total


def measure(
    planes: Sequence[Plane],
    slices: Sequence[RowSlice],
    ideal: Tensor,
    reads: torch.Generator,
) -> Correction:
    """From the planes of some inputs, [inputs, rows], and the weights that should be there."""
    applied = sum((plane.weight * plane.amplitude for plane in planes[1:]), _first(planes))
    gains, offsets = [], []
    for part in slices:
        rows = slice(part.first, part.last)
        wanted = applied[:, rows] @ ideal[:, rows].T
        got = part(planes, reads)
        mean_wanted, mean_got = wanted.mean(dim=0), got.mean(dim=0)
        spread = (wanted - mean_wanted).square().sum(dim=0)
        gain = ((wanted - mean_wanted) * (got - mean_got)).sum(dim=0) / spread
        good = (spread > 0) & (gain > _LEAST_GAIN)
        gain = torch.where(good, gain, 1.0)
        gains.append(gain)
        offsets.append(torch.where(good, mean_got - gain * mean_wanted, 0.0))
    return Correction(torch.stack(gains), torch.stack(offsets))


def _first(planes: Sequence[Plane]) -> Tensor:
    return planes[0].weight * planes[0].amplitude
