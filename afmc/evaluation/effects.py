"""Imperfections of a target, one more at a time: from perfect hardware to what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from afmc.evaluation.asked import Measurement
from afmc.hardware.conditions import ROOM_C, Condition
from afmc.targets import Target

_FINEST = 16
"""Bits of a converter whose steps do not count."""


@dataclass(frozen=True)
class Effect:
    """One of them, as it is called, and what can be done about it."""

    name: str
    tries: tuple[str, ...]
    drop: Callable[[Target], Target]
    """The target without this effect, where all that come after it are left out already."""


def _without_wires(target: Target) -> Target:
    wires = target.crossbar.without("wire_row_ohm", "wire_column_ohm")
    return target.model_copy(update={"crossbar": wires})


def _without_reads(target: Target) -> Target:
    crossbar = target.crossbar.without("read_voltage_V")
    output = target.output.without("gain_std", "offset_std_steps", "inl_steps", "noise_steps")
    device = target.device
    if device.noise is not None:
        device = device.model_copy(update={"read_noise": "none"})
    tables = {"crossbar": crossbar, "output": output, "device": device, "optics": None}
    return target.model_copy(update=tables)


def _without_devices(target: Target) -> Target:
    return target if target.device.noise is None else target.without_noise()


def _without_stuck(target: Target) -> Target:
    device = target.device.without("stuck_off_rate", "stuck_on_rate")
    return target.model_copy(update={"device": device})


def _without_resolution(target: Target) -> Target:
    return _with_bits(target, _FINEST)


def _without_clipping(target: Target) -> Target:
    perfect = _with_bits(target, None)
    inputs = perfect.input.model_copy(update={"encoding": "level"})  # digits are of so many bits
    return target if perfect == target else perfect.model_copy(update={"input": inputs})


def _with_bits(target: Target, bits: int | None) -> Target:
    """Every converter that has a number of bits gets this one."""
    tables = {
        name: getattr(target, name).model_copy(update={"bits": bits})
        for name in ("input", "output")
        if getattr(target, name).bits is not None
    }
    return target.model_copy(update=tables)


CLIPPING = Effect(
    "what converters clip",
    (
        "wider input ranges: compile with --calibration percentile:99.999, or on a text that is "
        "like the one in use (--text)",
        "a wider full scale of the outputs: --set target.output.bound=V",
    ),
    _without_clipping,
)
RESOLUTION = Effect(
    "the resolution of the converters",
    (
        "more bits: --set target.input.bits=10 --set target.output.bits=10",
        "narrower input ranges: compile with --calibration percentile:99.9",
    ),
    _without_resolution,
)
DEVICES = Effect(
    "the programming noise of the devices",
    (
        "a model that was trained for analog hardware, or devices that can be programmed more "
        "precisely (afmc targets devices)",
    ),
    _without_devices,
)
STUCK = Effect(
    "stuck devices",
    ("a map of them, for which the mapping makes up: compile with --defects FILE",),
    _without_stuck,
)
READS = Effect(
    "read noise and the errors of converters",
    ("a calibration of gain and offset of every column: --calibrate 64",),
    _without_reads,
)
WIRES = Effect(
    "the resistance of the wires (IR drop)",
    (
        "a calibration of every column: --calibrate 64",
        "shorter wires, of smaller crossbars: compile for another target, or with fewer "
        "target.crossbar.rows",
    ),
    _without_wires,
)
TIME = Effect(
    "time since programming and temperature",
    ("a correction of drift: --compensation tile, column or reference",),
    lambda target: target,
)
DEFECTS = Effect(
    "cells that stick by the map of defects",
    ("a compile for this map: compile with --defects FILE, and --keep DIR to leave the rest",),
    lambda target: target,
)
_FROM_LAST = (WIRES, READS, STUCK, DEVICES, RESOLUTION, CLIPPING)


@dataclass(frozen=True)
class Variant:
    """The target with the effects up to and with this one."""

    effect: Effect
    target: Target
    condition: Condition


def variants(measurement: Measurement, condition: Condition) -> Iterator[Variant]:
    """One for each effect that the target and the condition have, the simplest first."""
    fresh = replace(condition, at_s=0.0, temperature_C=ROOM_C)
    found: list[tuple[Effect, Target]] = []
    target = measurement.on_tiles.target
    for effect in _FROM_LAST:
        without = effect.drop(target)
        if _figures(without) != _figures(target):
            found.append((effect, target))
        target = without
    if measurement.defects_named is not None:
        found.append((DEFECTS, target))
    for effect, target in reversed(found):
        yield Variant(effect, target, fresh)
    if condition != fresh:
        yield Variant(TIME, measurement.on_tiles.target, condition)


def _figures(target: Target) -> dict[str, Any]:
    return target.model_dump(exclude={"overrides"})
