"""Estimates for people: as many digits as the spread over instances lets mean something."""

from __future__ import annotations

import math
from dataclasses import dataclass

from afmc.evaluation.results import Estimate

DIGITS = 4
"""Significant digits of a figure without an interval."""
OF_SPREAD = 2
"""Significant digits of a spread, and at least of every figure."""
MOST = 6
"""Significant digits, at most, of a figure that hardly varies."""
LARGE = 1e9
"""From here on powers of ten are told."""


@dataclass(frozen=True)
class Shown:
    """An estimate in words; empty where it is not known."""

    mean: str
    std: str
    """For three instances or more."""
    interval: str
    """Both ends."""
    values: str
    """Of two instances, which have no interval."""

    @property
    def spread(self) -> str:
        return self.interval or self.values


def shown(estimate: Estimate, *, share: bool = False) -> Shown:
    """An estimate with its spread; a share in per cent."""
    unit = 100.0 if share else 1.0
    sign = " %" if share else ""
    places = _places(estimate, unit)

    def text(value: float) -> str:
        return _text(value * unit, places) + sign

    interval, values = estimate.interval_95, estimate.values
    return Shown(
        mean=text(estimate.mean),
        std="" if estimate.std is None or interval is None else text(estimate.std),
        interval="" if interval is None else " to ".join(map(text, interval)),
        values=" and ".join(map(text, values)) if interval is None and len(values) > 1 else "",
    )


def exact(value: float, *, share: bool = False) -> str:
    """A figure that does not vary from instance to instance."""
    return shown(Estimate(mean=value), share=share).mean


def _places(estimate: Estimate, unit: float) -> int:
    """Decimal places; fewer than 0 leave out digits before the point."""
    mean = estimate.mean * unit
    gaps = [abs(mean - end * unit) for end in estimate.interval_95 or ()]
    gap = min((gap for gap in gaps if gap > 0), default=0.0)
    if not gap:
        return _place(mean, DIGITS)
    return min(_place(gap, OF_SPREAD), _place(mean, MOST))


def _place(value: float, digits: int) -> int:
    """Decimal places with which a figure has so many significant digits."""
    return digits - 1 - math.floor(math.log10(value)) if value else digits - 1


def _text(value: float, places: int) -> str:
    places = max(places, _place(value, OF_SPREAD)) if value else max(places, 0)
    if value and not 1e-4 <= value < LARGE:
        return f"{value:.{OF_SPREAD - 1}e}"
    return f"{round(value, places):,.{max(places, 0)}f}"
