"""When and how tiles are read: time since programming, temperature, and digital corrections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

from afmc.errors import OptionError
from afmc.targets import Target
from afmc.targets.tables import Compensation

ROOM_C = 25.0
"""The temperature at which devices are programmed and their figures hold."""

TEMPERATURES_C = (-55.0, 150.0)

LAST_S = 1e10
"""The latest time since programming that is asked for."""

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "mo": 30 * 86400, "y": 365 * 86400}


@dataclass(frozen=True)
class Condition:
    """What is true of an instance while it is read."""

    at_s: float = 0.0
    """Seconds since its devices were programmed."""
    temperature_C: float = ROOM_C
    compensation: Compensation = "none"
    """Compensation of drift and temperature: a digital factor for each block on a tile, for each of
    its columns, or from a reference column of the tile."""
    probes: int = 0
    """Inputs with which each column's gain and offset were measured just after programming, to be
    corrected digitally. 0: not calibrated."""
    recalibrated: bool = False
    """Whether what a program measures on every chip was measured under this condition, and not just
    after programming."""

    @property
    def is_fresh(self) -> bool:
        """Whether it is that of a chip just after programming."""
        return self.at_s == 0 and self.temperature_C == ROOM_C

    def __str__(self) -> str:
        parts = [format_time(self.at_s), f"{self.temperature_C:g}C", f"comp. {self.compensation}"]
        if self.probes:
            parts.append(f"{self.probes} probes")
        return ", ".join([*parts, "recalibrated"] if self.recalibrated else parts)


_MOST_PROBES = 1 << 16
"""Inputs that are held in memory at once, for every matrix."""


def conditions_of(
    target: Target,
    at: Sequence[float | str] = (),
    temperature: Sequence[float | str] = (),
    compensation: Sequence[str] = (),
    probes: int = 0,
    recalibrated: bool = False,
) -> tuple[Condition, ...]:
    """Every combination, without and with calibration when there are probes, and without and with
    recalibration where that is asked for and something has changed since programming.

    What is not given is 0 s, 25 degrees Celsius and the target's own compensation. Raises
    OptionError.
    """
    if probes < 0 or probes == 1:
        raise OptionError(f"--calibrate must be 0 or at least 2 probe inputs, but is {probes}.")
    if probes > _MOST_PROBES:
        raise OptionError(
            f"--calibrate must be at most {_MOST_PROBES:,} probe inputs, but is {probes}."
        )
    for kind in compensation:
        if kind not in get_args(Compensation):
            raise OptionError(
                f"compensation {kind!r} is not one of {', '.join(get_args(Compensation))}."
            )
    kinds = tuple(compensation) or (target.device.compensation,)
    chosen = product(
        [_time(each) for each in at] or [0.0],
        [_temperature(each) for each in temperature] or [ROOM_C],
        kinds,
        (0, probes) if probes else (0,),
    )
    found = dict.fromkeys(Condition(*each) for each in chosen)  # type: ignore[arg-type]
    if not recalibrated:
        return tuple(found)
    pairs = ((each, replace(each, recalibrated=not each.is_fresh)) for each in found)
    return tuple(dict.fromkeys(each for pair in pairs for each in pair))


def _time(given: float | str) -> float:
    return parse_time(given) if isinstance(given, str) else _checked_time(given, f"{given!r}")


def _checked_time(seconds: float, text: str) -> float:
    if not 0 <= seconds <= LAST_S:
        raise OptionError(
            f"time {text} is not between 0 and {LAST_S:g} seconds (about 300 years) after "
            f"programming."
        )
    return seconds


def parse_time(text: str) -> float:
    """Seconds of ``1s``, ``10min``, ``1h``, ``1d``, ``1mo`` (30 days) or ``1y`` (365 days)."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-z]+)\s*", text)
    if match and match[2] in _SECONDS:
        try:
            return _checked_time(float(match[1]) * _SECONDS[match[2]], text)
        except ValueError:
            pass
    raise OptionError(
        f"time {text!r} is not a number with one of the units {', '.join(_SECONDS)}, "
        f"for instance 1s, 1h, 1d, 30d or 1y."
    )


def format_time(seconds: float) -> str:
    """``86400`` as ``1d``: in the largest unit that divides it, months apart."""
    for unit in ("y", "d", "h", "min"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


def _temperature(given: float | str) -> float:
    if isinstance(given, str):
        return parse_temperature(given)
    low, high = TEMPERATURES_C
    if not low <= given <= high:
        raise OptionError(
            f"temperature {given:g} is not between {low:g} and {high:g} degrees Celsius, "
            f"for which device models and wires are meant."
        )
    return float(given)


def parse_temperature(text: str) -> float:
    """Degrees Celsius of ``85C`` or ``358.15K``."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([CK])\s*", text)
    if match:
        try:
            return _temperature(float(match[1]) - (273.15 if match[2] == "K" else 0))
        except ValueError:
            pass
    raise OptionError(f"temperature {text!r} is not a number with C or K, for instance 85C.")
