"""Weights onto cells: one matrix, cut into blocks with addresses, becomes what its tiles hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from afmc.errors import TargetError
from afmc.simulator.devices import Device
from afmc.simulator.random import Address, generator_at
from afmc.targets import Target


@dataclass(frozen=True)
class Piece:
    """A block of a matrix and where it sits. Rows are inputs, columns are outputs."""

    row: int
    col: int
    rows: int
    cols: int
    address: Address

    def of(self, weight: Tensor) -> Tensor:
        """Its part of a weight in nn.Linear's order, [cols, rows]."""
        return weight[self.col : self.col + self.cols, self.row : self.row + self.rows]

    @property
    def crossbar(self) -> tuple[int, int, int]:
        return (self.address.chip, self.address.tile, self.address.tier)


@dataclass(frozen=True)
class Programmed:
    """What the tiles of one matrix hold."""

    weight: Tensor
    """[cols, rows], in units of the model's weights, noise included."""
    slices: tuple[tuple[int, int], ...]
    """Row slices, first row and the one after the last: the blocks of a slice share their rows."""
    w_max: Tensor
    """[slices, cols], the weight to which full conductance and the output range refer."""


def program(
    weight: Tensor,
    pieces: Sequence[Piece],
    target: Target,
    device: Device | None,
    *,
    seed: int,
    instance: int,
    crossbar_max: Mapping[tuple[int, int, int], float] | None = None,
) -> Programmed:
    """Writes a weight, [cols, rows] in nn.Linear's order, onto its pieces.

    `device` is None for perfect devices. `crossbar_max` holds the largest weight of each crossbar
    where the target scales by the tile and tiles are shared; without it each piece is by itself.
    """
    _check_grid(weight, pieces)
    weight = weight.contiguous()  # noise is drawn in the order of memory
    slices = tuple(sorted({(piece.row, piece.row + piece.rows) for piece in pieces}))
    index = {slice_: i for i, slice_ in enumerate(slices)}
    full_scale = weight.new_empty(len(slices), weight.shape[0])
    noisy = weight if device is None else torch.empty_like(weight)
    for piece in pieces:
        ideal = piece.of(weight)
        by_column = ideal.abs().amax(dim=1)
        largest = (crossbar_max or {}).get(piece.crossbar)
        by_tile = by_column.amax() if largest is None else by_column.new_tensor(largest)
        row = index[(piece.row, piece.row + piece.rows)]
        full_scale[row, piece.col : piece.col + piece.cols] = (
            by_column if target.output.range == "column" else by_tile
        )
        if device is not None:
            scale = by_column if target.device.scale == "column" else by_tile.expand_as(by_column)
            generator = generator_at(seed, instance, piece.address)
            piece.of(noisy).copy_(_write(ideal, scale, target, device, generator))
    return Programmed(noisy, slices, _or_one(full_scale))


def _check_grid(weight: Tensor, pieces: Sequence[Piece]) -> None:
    """Row cuts run across all columns, so that a row slice is one product."""
    covered = {(p.row, p.rows): 0 for p in pieces}
    for piece in pieces:
        covered[piece.row, piece.rows] += piece.cols
    rows = sum(height for _, height in covered)
    if rows != weight.shape[1] or set(covered.values()) != {weight.shape[0]}:
        raise ValueError("the blocks of a matrix do not share their row cuts")


def _or_one(scale: Tensor) -> Tensor:
    """To divide by, also for a column of zeros, where any will do."""
    return torch.where(scale > 0, scale, 1.0)


def _write(
    ideal: Tensor, scale: Tensor, target: Target, device: Device, generator: torch.Generator
) -> Tensor:
    """Through a differential pair of conductances and back; both sides are programmed."""
    g_min, g_max = target.device.g_min_uS, target.device.g_max_uS
    per_weight = (g_max - g_min) / _or_one(scale).unsqueeze(1)
    g_target = (ideal * per_weight).clamp_(g_min - g_max, g_max - g_min)
    plus = _programmed(device, g_target.clamp(min=0).add_(g_min), generator)
    minus = _programmed(device, g_target.neg_().clamp_(min=0).add_(g_min), generator)
    # A column of zeros has the digital scale 0: whatever its cells do, nothing comes of it.
    return (plus - minus).mul_((scale / (g_max - g_min)).unsqueeze(1))


def _programmed(device: Device, g_uS: Tensor, generator: torch.Generator) -> Tensor:
    """What the device model makes of it, checked: the model may be anybody's."""
    name = type(device).__name__
    try:
        result = device.program(g_uS, generator)
    except Exception as error:  # whatever a plug-in raises
        raise TargetError(f"the device model {name} failed: {error!r}.") from error
    if not isinstance(result, Tensor) or result.shape != g_uS.shape:
        raise TargetError(f"the device model {name} returned another shape than it was given.")
    return result
