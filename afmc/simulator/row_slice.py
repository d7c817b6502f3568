"""Rows that are driven together: one conversion of all columns for each plane of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.simulator.tiles import Array, Programmed
from afmc.targets import Target


@dataclass(frozen=True)
class Plane:
    """What is applied to the rows at once."""

    amplitude: Tensor
    """[..., rows], between -1 and 1."""
    weight: float
    """What its result counts for."""


class RowSlice(nn.Module):
    """The row slice `index` of what a matrix's tiles hold, for all tokens at once.

    Cells are scaled beforehand so that a product comes out in steps of the output converter, or in
    weights where that is perfect.
    """

    def __init__(self, programmed: Programmed, index: int, target: Target) -> None:
        super().__init__()
        self.first, self.last = programmed.slices[index]
        self.compensation: Tensor
        self.gain: Tensor
        self.offset: Tensor | None
        self.inl: Tensor | None
        self.signs = [array.sign for array in programmed.arrays]
        scale = torch.ones_like(programmed.w_max[index])
        self.limits: tuple[float, float] | None = None
        if target.output.steps is not None:
            assert target.output.bound is not None
            full_scale = target.output.bound * programmed.w_max[index]
            # Each of four phases has one sign, so that all codes are for it.
            apart = target.tile.read_phases == 4
            codes = target.output.steps if apart else target.output.steps / 2
            scale = codes / full_scale
            self.limits = (0 if apart else -codes, codes)
        gain, offset, inl = programmed.errors or (None, None, None)
        analog = scale if gain is None else scale * gain[index]
        for number, array in enumerate(programmed.arrays):
            self._hold(number, array, index, analog.unsqueeze(1), target.output.noise_steps)
        self._keep("compensation", programmed.gain[index])
        self._keep("gain", programmed.gain[index] / scale)
        self._keep("offset", _unless_zero(offset, index))
        self._keep("inl", _unless_zero(inl, index))

    def _hold(
        self, number: int, array: Array, index: int, scale: Tensor, noise_steps: float
    ) -> None:
        rows = slice(self.first, self.last)
        self._keep(f"cells{number}", array.weight[:, rows] * scale)
        constant = None if array.constant is None else array.constant[index] * scale.squeeze(1) ** 2
        if noise_steps:
            own = scale.new_full((len(scale),), noise_steps**2)
            constant = own if constant is None else own + constant
        self._keep(f"constant{number}", constant)
        for name, table in (("linear", array.linear), ("quadratic", array.quadratic)):
            self._keep(f"{name}{number}", None if table is None else table[:, rows] * scale**2)

    def _keep(self, name: str, table: Tensor | None) -> None:
        if table is not None:
            table = table.detach().contiguous()
        self.register_buffer(name, table, persistent=False)

    def forward(self, planes: Sequence[Plane], reads: torch.Generator) -> Tensor:
        """[..., cols], in units of full input times weight, digital gain included."""
        total: Tensor | None = None
        for plane in planes:
            amplitude = plane.amplitude[..., self.first : self.last]
            for number, sign in enumerate(self.signs):
                signal = self._read(number, amplitude, reads)
                weight = sign * plane.weight
                if total is None:
                    total = signal if weight == 1 else signal.mul_(weight)
                else:
                    total.add_(signal, alpha=weight)
        assert total is not None
        return total.mul_(self.gain)

    def _read(self, number: int, amplitude: Tensor, reads: torch.Generator) -> Tensor:
        """One conversion of all columns, in codes where there are converters."""
        signal = functional.linear(amplitude, self.get_buffer(f"cells{number}"))
        variance = self._variance(number, amplitude)
        if variance is not None:
            noise = torch.empty_like(signal).normal_(generator=reads)
            signal.addcmul_(noise, variance.sqrt())
        if self.limits is None:
            return signal
        low, high = self.limits
        if self.offset is not None:
            signal.add_(self.offset)
        if self.inl is not None:
            signal.addcmul_(self.inl, torch.sin(signal.clamp(low, high).mul_(math.pi / high)))
        return signal.round_().clamp_(low, high)

    def _variance(self, number: int, amplitude: Tensor) -> Tensor | None:
        constant, linear, quadratic = (
            getattr(self, f"{name}{number}") for name in ("constant", "linear", "quadratic")
        )
        terms = [] if constant is None else [constant]
        if linear is not None:
            terms.append(functional.linear(amplitude.abs(), linear))
        if quadratic is not None:
            terms.append(functional.linear(amplitude.square(), quadratic))
        return sum(terms[1:], terms[0]) if terms else None


def _unless_zero(table: Tensor | None, index: int) -> Tensor | None:
    return table[index] if table is not None and bool(table[index].any()) else None


def whole(programmed: Programmed) -> Programmed:
    """All row slices as one, which is exact where the output converters are perfect.

    Digital gain and the converters' gain become part of the cells.
    """
    if len(programmed.slices) == 1:
        return programmed
    sizes = torch.tensor([last - first for first, last in programmed.slices])
    gain = programmed.gain
    if programmed.errors is not None:
        gain = gain * programmed.errors.gain
    by_row = gain.repeat_interleave(sizes, dim=0).T  # [cols, rows]
    arrays = tuple(
        Array(
            array.sign,
            array.weight * by_row,
            None if array.constant is None else (array.constant * gain**2).sum(dim=0, keepdim=True),
            None if array.linear is None else array.linear * by_row**2,
            None if array.quadratic is None else array.quadratic * by_row**2,
        )
        for array in programmed.arrays
    )
    first, last = programmed.slices[0][0], programmed.slices[-1][1]
    w_max = programmed.w_max.amax(dim=0, keepdim=True)
    return Programmed(arrays, ((first, last),), w_max, torch.ones_like(w_max))
