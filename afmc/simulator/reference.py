"""The numerics of a tile, slow and obvious: one block, one group of rows, one phase at a time.

For every block: the input converter, the digits and signs that are applied one after the other,
the product on the columns, the output converter with its errors; what is converted is weighted
and added digitally. Tested against the mathematics; the batched path is tested against it. Noise
that is drawn at each read is left out: it has no mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from afmc.simulator.converters import convert_input, convert_output, digits_of
from afmc.simulator.tiles import Piece, Programmed
from afmc.targets import Target


def multiply(
    x: Tensor,
    programmed: Programmed,
    pieces: Sequence[Piece],
    target: Target,
    input_range: float | Sequence[float] | None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """x [tokens, rows] times what the tiles hold, [tokens, cols], computed in `dtype`.

    Of several input ranges each is of one of the slices of `programmed`.

    Source: section 1 of the AIHWKIT-Lightning user guide; Büchel et al., NeurIPS 2025, eq. 1-2, for
    one phase and inputs that are not bit-serial.
    """
    x = x.to(dtype)
    y = torch.zeros(x.shape[0], programmed.w_max.shape[1], dtype=dtype)
    for piece in pieces:
        cols = slice(piece.col, piece.col + piece.cols)
        for first, last in piece.slices(target.crossbar.active_rows):
            which = programmed.slices.index((first, last))
            full = input_range[which] if isinstance(input_range, Sequence) else input_range
            driven = x[:, first:last]
            if target.input.steps is not None:
                assert full is not None
                driven = convert_input(driven, full, target.input.steps)
            total = torch.zeros(x.shape[0], piece.cols, dtype=dtype)
            for applied, full_scale, weight in _applied(driven, target, full):
                for array in programmed.arrays:
                    current = applied @ array.weight[cols, first:last].to(dtype).T
                    read = _convert(current, programmed, target, which, cols, full_scale)
                    total += array.sign * weight * read
            y[:, cols] += total * programmed.gain[which, cols]
    return y


def _applied(
    driven: Tensor, target: Target, input_range: float | None
) -> Iterator[tuple[Tensor, float | None, float]]:
    """What is on the rows in each phase, how much that is at most, and what it counts for."""
    parts: list[tuple[Tensor, float | None, float]] = [(driven, input_range, 1.0)]
    if target.input.encoding == "bit_serial":
        assert input_range is not None and target.input.steps is not None
        one = 2 * input_range / target.input.steps
        magnitude = (driven.abs() / one).round()
        parts = []
        for digit in digits_of(target):
            value = (magnitude // 2**digit.first_bit) % 2**digit.bits
            parts.append((value * driven.sign(), 2.0**digit.bits - 1, one * 2**digit.first_bit))
    for applied, full_scale, weight in parts:
        if target.tile.read_phases == 1:
            yield applied, full_scale, weight
        else:
            yield applied.clamp(min=0), full_scale, weight
            yield (-applied).clamp(min=0), full_scale, -weight


def _convert(
    current: Tensor,
    programmed: Programmed,
    target: Target,
    which: int,
    cols: slice,
    input_full_scale: float | None,
) -> Tensor:
    """The output converters of a block, with their errors."""
    gain, offset, inl = (
        (each[which, cols].to(current.dtype) for each in programmed.errors)
        if programmed.errors is not None
        else (torch.ones(()), torch.zeros(()), torch.zeros(()))
    )
    current = current * gain
    if target.output.steps is None:
        return current
    assert input_full_scale is not None and target.output.bound is not None
    w_max = programmed.w_max[which, cols].to(current.dtype)
    full_scale = input_full_scale * target.output.bound * w_max
    # One of four phases has one sign, and all codes for it: as many steps on half of the range.
    apart = target.tile.read_phases == 4
    steps = 2 * target.output.steps if apart else target.output.steps
    step = 2 * full_scale / steps
    current = current + offset * step
    shape = torch.sin(math.pi * _within(current, full_scale, apart) / full_scale)
    read = convert_output(current + inl * step * shape, full_scale, steps)
    return _within(read, full_scale, apart)


def _within(current: Tensor, full_scale: Tensor, one_sign: bool) -> Tensor:
    least = torch.zeros_like(full_scale) if one_sign else -full_scale
    return torch.minimum(torch.maximum(current, least), full_scale)
