"""Input and output converters: symmetric, uniform, L = 2**bits - 2 steps across [-r, r].

An 8-bit converter has 254 steps, 255 levels, integer codes -127 to 127. Rounding is half to even.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from afmc.simulator.streams import Address, generator_at
from afmc.targets import Target


def codes(x: Tensor, full_scale: float | Tensor, steps: int) -> Tensor:
    """Integer codes of `x` as floats, clamped to the range; same shape and dtype."""
    limit = steps / 2
    return (x * (limit / full_scale)).clamp_(-limit, limit).round_()


def convert_input(x: Tensor, full_scale: float, steps: int) -> Tensor:
    """What the input converters make of `x`: clamped to the range, then rounded to a level."""
    step = 2 * full_scale / steps
    return (x.clamp(-full_scale, full_scale) / step).round() * step


def convert_output(y: Tensor, full_scale: Tensor, steps: int) -> Tensor:
    """What the output converters make of `y`: rounded to a level, then clamped to the range."""
    step = 2 * full_scale / steps
    return ((y / step).round() * step).clamp(-full_scale, full_scale)


@dataclass(frozen=True)
class Digit:
    """Bits of an input's magnitude that are applied at once, as a pulse or a level."""

    first_bit: int
    bits: int

    @property
    def largest(self) -> int:
        return 2**self.bits - 1

    @property
    def unit(self) -> int:
        """Input codes that one unit of this digit stands for."""
        return 1 << self.first_bit

    def of(self, code: Tensor) -> Tensor:
        """This digit of integer codes, with their sign."""
        magnitude = torch.div(code.abs(), self.unit, rounding_mode="floor")
        return magnitude.remainder_(self.largest + 1).mul_(code.sign())


def digits_of(target: Target) -> tuple[Digit, ...]:
    """The digits that a bit-serial input sends one after the other, the least significant first."""
    assert target.input.bits is not None
    magnitude, width = target.input.bits - 1, target.input.slice_bits
    return tuple(
        Digit(first, min(width, magnitude - first)) for first in range(0, magnitude, width)
    )


@dataclass(frozen=True)
class ConverterErrors:
    """Errors of output converters, by column: what was drawn once when they were made."""

    gain: Tensor
    """Factor, about 1."""
    offset: Tensor
    """In steps."""
    inl: Tensor
    """Largest integral non-linearity, in steps, at half of the range; S-shaped."""

    @classmethod
    def of_columns(
        cls, target: Target, seed: int, instance: int, address: Address, columns: Tensor
    ) -> ConverterErrors | None:
        """Those that read the columns of these numbers; None for converters without errors.

        Tiers share the converters of their tile.
        """
        output = target.output
        if not (output.gain_std or output.offset_std_steps or output.inl_steps):
            return None
        tile = Address(address.chip, address.tile, 0, 0, 0)
        generator = generator_at(seed, instance, tile, "converters")
        count = -(-target.crossbar.columns // output.columns_per_converter)
        drawn = torch.empty(3, count).normal_(generator=generator)
        which = columns // output.columns_per_converter
        gain, offset, inl = drawn[:, which]
        return cls(
            1 + output.gain_std * gain, output.offset_std_steps * offset, output.inl_steps * inl
        )

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.gain, self.offset, self.inl))
