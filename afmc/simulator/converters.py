"""Input and output converters: symmetric, uniform, L = 2**bits - 2 steps across [-r, r].

An 8-bit converter has 254 steps, 255 levels, integer codes -127 to 127. Rounding is half to even.
"""

from __future__ import annotations

from torch import Tensor


def codes(x: Tensor, full_scale: float, steps: int) -> Tensor:
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
