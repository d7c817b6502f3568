"""Weights onto cells: one matrix, cut into blocks with addresses, becomes what its tiles hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from afmc.errors import TargetError
from afmc.hardware.conditions import ROOM_C, Condition
from afmc.hardware.defect_map import Crossbar
from afmc.simulator.cells import (
    Perfect,
    State,
    streams_of,
    weight_per_state,
    write,
)
from afmc.simulator.compensation import digital_gain
from afmc.simulator.converters import ConverterErrors
from afmc.simulator.devices.base import Device
from afmc.simulator.effects import Written, distorted
from afmc.simulator.faults import Faults
from afmc.simulator.ir_drop import behind_wires
from afmc.simulator.lines import Lines
from afmc.simulator.read_noise import ReadNoise, read_noise_of
from afmc.simulator.streams import Address
from afmc.targets import Target

FRESH = Condition()


@dataclass(frozen=True)
class Piece:
    """A block of a matrix and where it sits. Rows are inputs, columns are outputs."""

    row: int
    col: int
    rows: int
    cols: int
    address: Address
    order: Lines | None = None
    """Where its lines are, unless one after the other from the address on."""

    @property
    def lines(self) -> Lines:
        if self.order is not None:
            return self.order
        row, col = self.address.row, self.address.col
        return Lines(np.arange(row, row + self.rows), np.arange(col, col + self.cols))

    def of(self, weight: Tensor) -> Tensor:
        """Its part of a weight in nn.Linear's order, [cols, rows]."""
        return weight[self.col : self.col + self.cols, self.row : self.row + self.rows]

    @property
    def crossbar(self) -> Crossbar:
        return (self.address.chip, self.address.tile, self.address.tier)

    def slices(self, active_rows: int | None) -> Iterator[tuple[int, int]]:
        """First row and the one after the last of each group of rows that is driven at once."""
        end = self.row + self.rows
        for first in range(self.row, end, active_rows or self.rows):
            yield first, min(first + (active_rows or self.rows), end)


@dataclass(frozen=True)
class Array:
    """Columns that are read by one conversion: both polarities together, or one of them.

    The variance of a read is that of the signal for inputs between -1 and 1, in weights squared.
    """

    sign: int
    weight: Tensor
    """[cols, rows], in units of the model's weights, noise and wires included."""
    constant: Tensor | None = None
    """[slices, cols], of the variance."""
    linear: Tensor | None = None
    """[cols, rows], of the variance, by the size of the input."""
    quadratic: Tensor | None = None
    """[cols, rows], of the variance, by the square of the input."""

    def columns(self, which: slice) -> Array:
        by_column = (self.linear, self.quadratic)
        linear, quadratic = (None if each is None else each[which] for each in by_column)
        constant = None if self.constant is None else self.constant[:, which]
        return Array(self.sign, self.weight[which], constant, linear, quadratic)


@dataclass(frozen=True)
class Programmed:
    """What the tiles of one matrix hold at a time and a temperature."""

    arrays: tuple[Array, ...]
    """One, or one for each polarity where these are read apart."""
    slices: tuple[tuple[int, int], ...]
    """Rows that are driven together: first row and the one after the last."""
    w_max: Tensor
    """[slices, cols], the weight to which full conductance and the output range refer."""
    gain: Tensor
    """[slices, cols], digital factors that make up for drift and temperature."""
    errors: ConverterErrors | None = None
    """Each [slices, cols]."""

    @property
    def weight(self) -> Tensor:
        """[cols, rows], in units of the model's weights."""
        first, *rest = self.arrays
        return first.weight - rest[0].weight if rest else first.weight

    def columns(self, which: slice) -> Programmed:
        """Those outputs alone, as of one of several matrices that were written together."""
        return replace(
            self,
            arrays=tuple(array.columns(which) for array in self.arrays),
            w_max=self.w_max[:, which],
            gain=self.gain[:, which],
            errors=self.errors and ConverterErrors(*(each[:, which] for each in self.errors)),
        )


def program(
    weight: Tensor,
    pieces: Sequence[Piece],
    target: Target,
    device: Device | None,
    *,
    seed: int,
    instance: int,
    condition: Condition = FRESH,
    crossbar_max: Mapping[Crossbar, float] | None = None,
    faults: Faults | None = None,
    written: Tensor | None = None,
) -> Programmed:
    """Writes a weight, [cols, rows] in nn.Linear's order, onto its pieces, and lets time pass.

    `device` is None for perfect devices. `crossbar_max` holds the largest weight of each crossbar
    where the target scales by the tile and tiles are shared; without it each piece is by itself.
    Noise and faults belong to the lines of the crossbar, whatever rows and columns are there.
    `written` is what is written instead so that `weight` comes out, see
    `afmc.simulator.beforehand`.
    """
    _check_grid(weight, pieces)
    weight = weight.contiguous()  # noise is drawn in the order of memory
    slices = sorted({each for p in pieces for each in p.slices(target.crossbar.active_rows)})
    index = {slice_: i for i, slice_ in enumerate(slices)}
    held = _Held(weight, len(slices), target)
    noise = read_noise_of(target, condition.temperature_C)
    for piece in pieces:
        ideal = piece.of(weight if written is None else written)
        by_column, by_tile = _maxima(piece, weight, crossbar_max)
        rows = [index[each] for each in piece.slices(target.crossbar.active_rows)]
        cols = slice(piece.col, piece.col + piece.cols)
        held.w_max[rows, cols] = by_column if target.output.range == "column" else by_tile
        lines = piece.lines
        columns = torch.from_numpy(lines.cols)
        errors = ConverterErrors.of_columns(target, seed, instance, piece.address, columns)
        held.set_errors(rows, cols, errors)
        stuck = None if faults is None else faults.of(piece.crossbar, lines)
        if not distorted(Written(target, device, noise, stuck)):
            continue
        scale = by_column if target.device.scale == "column" else by_tile
        streams = streams_of(seed, instance, piece.address)
        model = device or Perfect()
        held_by = write(
            lines.to_crossbar(ideal),
            lines.columns_to_crossbar(scale),
            target,
            model,
            streams,
            stuck,
        )
        now = held_by.at(target, model, condition, streams)
        left = on_wires(now, piece, target, condition.temperature_C)
        for side in left:
            _check_numbers(side, model)
        variances = [_through_wires(*pair) for pair in zip(now, left, strict=True)]
        # A column of zeros has the digital scale 0: whatever its cells do, nothing comes of it.
        unit = weight_per_state(scale, target).unsqueeze(1)
        plus, minus = (lines.to_matrix(side) for side in left)
        spreads = [None if each is None else lines.to_matrix(each) for each in variances]
        held.set_arrays(rows, cols, piece, plus, minus, spreads, unit, noise)
        if condition.compensation != "none" and (
            condition.at_s > 0 or condition.temperature_C != ROOM_C
        ):
            before = held_by.at(target, model, FRESH, streams)
            crossbar = Address(*piece.crossbar, 0, 0)
            gain = digital_gain(
                condition,
                target,
                model,
                streams_of(seed, instance, crossbar),
                _difference(*on_wires(before, piece, target, ROOM_C)),
                _difference(*left),
            )
            held.gain[rows, cols] = lines.columns_to_matrix(gain)
    return held.programmed(tuple(slices))


def _maxima(
    piece: Piece, weight: Tensor, crossbar_max: Mapping[Crossbar, float] | None
) -> tuple[Tensor, Tensor]:
    """The largest weight of every column of a block, and that of its crossbar, each [cols]."""
    by_column = piece.of(weight).abs().amax(dim=1)
    largest = (crossbar_max or {}).get(piece.crossbar)
    by_tile = by_column.amax() if largest is None else by_column.new_tensor(largest)
    return by_column, by_tile.expand_as(by_column)


def scale_of(
    piece: Piece, weight: Tensor, target: Target, crossbar_max: Mapping[Crossbar, float] | None
) -> Tensor:
    """[cols]: the weight that is full conductance."""
    by_column, by_tile = _maxima(piece, weight, crossbar_max)
    return by_column if target.device.scale == "column" else by_tile


class _Held:
    """The tables of a matrix while its blocks are written."""

    def __init__(self, weight: Tensor, slices: int, target: Target) -> None:
        cols = weight.shape[0]
        self.ideal, self.apart = weight, target.tile.read_phases == 4
        self.w_max = weight.new_empty(slices, cols)
        self.gain = weight.new_ones(slices, cols)
        self.errors: ConverterErrors | None = None
        self.arrays: list[Array] = []

    def set_errors(self, rows: list[int], cols: slice, errors: ConverterErrors | None) -> None:
        if errors is None:
            return
        if self.errors is None:
            self.errors = ConverterErrors(*(torch.empty_like(self.w_max) for _ in range(3)))
        for table, part in zip(self.errors, errors, strict=True):
            table[rows, cols] = part.to(table.dtype)

    def set_arrays(
        self,
        rows: list[int],
        cols: slice,
        piece: Piece,
        plus: Tensor,
        minus: Tensor,
        variances: list[Tensor | None],
        unit: Tensor,
        noise: ReadNoise,
    ) -> None:
        """Puts a block's states where they belong, and the variances of their reads; `unit` is the
        weight of one unit of a state."""
        if not self.arrays:
            signs = (1, -1) if self.apart else (1,)
            self.arrays = [self._empty(sign, noise, variances[0] is not None) for sign in signs]
        parts: list[tuple[Tensor, list[Tensor], list[Tensor | None]]]
        if self.apart:
            parts = [
                (side, [side], [spread])
                for side, spread in zip((plus, minus), variances, strict=True)
            ]
        else:
            parts = [(_difference(plus, minus), [plus, minus], variances)]
        for array, (signal, states_, spreads) in zip(self.arrays, parts, strict=True):
            piece.of(array.weight).copy_(signal * unit)
            total = sum(states_[1:], states_[0])
            if array.constant is not None:
                of_states = noise.per_state * total.sum(dim=1) + noise.constant
                array.constant[rows, cols] = of_states * unit.squeeze(1) ** 2
            if array.linear is not None:
                piece.of(array.linear).copy_(noise.linear * total * unit**2)
            if array.quadratic is not None:
                square = noise.quadratic * signal.square()
                spread = sum(each for each in spreads if each is not None)
                piece.of(array.quadratic).copy_((square + spread) * unit**2)

    def _empty(self, sign: int, noise: ReadNoise, read_at_each: bool) -> Array:
        like = self.ideal
        return Array(
            sign,
            like.clone(),  # blocks without any imperfection keep what they have
            like.new_empty(self.w_max.shape) if noise.constant or noise.per_state else None,
            torch.empty_like(like) if noise.linear else None,
            torch.empty_like(like) if noise.quadratic or read_at_each else None,
        )

    def programmed(self, slices: tuple[tuple[int, int], ...]) -> Programmed:
        arrays = tuple(self.arrays) or (Array(1, self.ideal),)
        w_max = torch.where(self.w_max > 0, self.w_max, 1.0)  # to divide by, also for zeros
        return Programmed(arrays, slices, w_max, self.gain, self.errors)


def _check_grid(weight: Tensor, pieces: Sequence[Piece]) -> None:
    """Row cuts run across all columns, so that a row slice is one product."""
    covered = {(p.row, p.rows): 0 for p in pieces}
    for piece in pieces:
        covered[piece.row, piece.rows] += piece.cols
    rows = sum(height for _, height in covered)
    if rows != weight.shape[1] or set(covered.values()) != {weight.shape[0]}:
        raise ValueError("the blocks of a matrix do not share their row cuts")


def _check_numbers(signal: Tensor, device: Device) -> None:
    if not bool(torch.isfinite(signal).all()):
        name = type(device).__name__
        raise TargetError(f"the device model {name} gives states that are no finite numbers.")


def _difference(plus: Tensor, minus: Tensor) -> Tensor:
    return plus - minus


def on_wires(
    states: tuple[State, State], piece: Piece, target: Target, temperature_C: float
) -> tuple[Tensor, Tensor]:
    plus, minus = states[0].mean, states[1].mean
    lines, crossbar = piece.lines, target.crossbar
    apart = not lines.in_order and bool(crossbar.wire_row_ohm or crossbar.wire_column_ohm)
    if apart:
        idle = target.device.state_min
        plus, minus = lines.spread(plus, idle), lines.spread(minus, idle)
    left = behind_wires(
        plus,
        minus,
        target,
        row=piece.address.row,
        column=piece.address.col,
        temperature_C=temperature_C,
    )
    return (lines.gather(left[0]), lines.gather(left[1])) if apart else left


def _through_wires(state: State, left: Tensor) -> Tensor | None:
    """The variance of reads, of what is left of the states behind the wires' resistance."""
    if state.read_variance is None or left is state.mean:
        return state.read_variance
    return state.read_variance * (left / state.mean).nan_to_num_(0.0, 0.0, 0.0).square_()
