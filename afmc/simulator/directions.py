"""Correction in principal directions: what a chip does wrong where its inputs mostly are.

A product's error is linear in its input as far as it is systematic: programming errors, drift,
stuck cells, losses in wires. Inputs have a mean and, about it, are far from isotropic, so a few
directions U carry most of the error. After a chip is programmed, known inputs about the mean go
through its tiles, converters included; the mean error b and its slope E along U are fitted, and in
use b + ((x - mean) U) E is added digitally. Where converters round coarsely most of an output's
rounding is the same for all inputs, so it is part of b too.

Related: L2QER (Zhang et al., ICML 2024) for errors of quantisation; here they are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from afmc.program.recovery_work import probes_of

_DITHER = 0.5
"""Size of what probes have outside the directions, against what inputs have there: enough that the
converters' rounding averages out, and little enough not to disturb the fit."""


@dataclass(frozen=True)
class Directions:
    """Mean of an activation, and its principal directions about it."""

    mean: Tensor
    """[rows]"""
    basis: Tensor
    """[rows, directions], orthonormal, the one with most energy first."""
    energy: Tensor
    """[directions], mean square of an input along each, about the mean."""
    rest: float
    """Mean square of a value of what is left of an input outside of all of them."""

    def first(self, count: int) -> Directions:
        """So many of them; what the others carry belongs to the rest."""
        left = float(self.energy[count:].sum()) / len(self.basis)
        return replace(
            self,
            basis=self.basis[:, :count].contiguous(),
            energy=self.energy[:count],
            rest=self.rest + left,
        )

    def __len__(self) -> int:
        return self.basis.shape[1]

    def probes(self, reads: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs as a model has them, [probes, rows], and their place along each direction,
        [probes, directions]: so far to either side that directions do not disturb each other.

        At least `reads` for each direction.
        """
        design = _signs(probes_of(len(self), reads))
        columns = 1 + torch.randperm(len(design) - 1, generator=generator)[: len(self)]
        along = design[:, columns] * self.energy.sqrt()
        around = torch.empty(len(design), len(self.basis)).normal_(generator=generator)
        return self.mean + along @ self.basis.T + _DITHER * self.rest**0.5 * around, along


def _signs(size: int) -> Tensor:
    """[size, size] of 1 and -1 with orthogonal columns, the first of ones."""
    signs = torch.ones(1, 1)
    while len(signs) < size:
        signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)])
    return signs


@dataclass(frozen=True)
class Errors:
    """What a layer's products lack, measured on one chip."""

    basis: Tensor
    """[rows, directions]"""
    slope: Tensor
    """[directions, cols], along each direction."""
    offset: Tensor
    """[cols], for every input."""

    def add_to(self, y: Tensor, x: Tensor) -> None:
        """Adds it to products [..., cols] of inputs [..., rows]."""
        y.add_(self.offset)
        if len(self.slope):
            y.add_((x @ self.basis) @ self.slope)


def measure_errors(
    directions: Directions,
    reads: int,
    wanted: Callable[[Tensor], Tensor],
    tiles: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Errors:
    """Least squares over probes about the mean, of orthogonal places along the directions."""
    x, along = directions.probes(reads, generator)
    missing = wanted(x) - tiles(x)
    slope = (along.T @ missing) / along.square().sum(dim=0).unsqueeze(1)
    offset = missing.mean(dim=0) - (directions.mean @ directions.basis) @ slope
    return Errors(directions.basis, slope, offset)
