"""Axes: where to put marks that people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values from low to high, about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [each * step for each in range(first, last + 1)]


class Axis:
    """From values to 0..1: linear, or logarithmic where they differ tenfold."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        self.log = low > 0 and high / low >= 10
        self._low, self._high = (math.log10(low), math.log10(high)) if self.log else (low, high)
        margin = 0.05 * (self._high - self._low) or 0.05 * abs(self._high) or 1.0
        self._low, self._high = self._low - margin, self._high + margin

    def at(self, value: float) -> float:
        """Values below the axis, as an interval's end may be, are at its start."""
        if self.log:
            value = math.log10(value) if value > 0 else self._low
        return min(1.0, max(0.0, (value - self._low) / (self._high - self._low)))

    def ticks(self) -> list[float]:
        if not self.log:
            return ticks(self._low, self._high, 5)
        first, last = math.ceil(self._low), math.floor(self._high)
        if last - first < 2:
            decades = range(first - 1, last + 1)
            found = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            return [t for t in found if self._low <= math.log10(t) <= self._high]
        step = max(1, (last - first) // 6)
        return [10.0**d for d in range(first, last + 1, step)]
