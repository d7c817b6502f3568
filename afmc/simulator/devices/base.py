"""The door for device models: what a memory device does to a state that is written to it.

A state is a conductance in microsiemens or, for light, a transmission between 0 and 1, in the
unit of the target's range. The simulator makes the pairs, owns the random numbers and scales the
weights. Models come in by the entry-point group `afmc.devices`, or as `package.module:Class`.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

import torch
from torch import Tensor

from afmc.errors import TargetError, did_you_mean
from afmc.targets import Target

GROUP = "afmc.devices"


class Device(Protocol):
    """One memory device, or several that share a weight's polarity and were modelled together.

    Subclass it and override what the device does; only `program` has no default. All tensors have
    one shape; arguments must not be changed. Each generator is fresh and belongs to the block, to
    the polarity and to the method, so that a method draws the same numbers at every time.
    """

    devices: int = 1
    """Physical devices that one call of `program` stands for."""

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        """Drawn once: the states that result from trying to write `g`."""
        ...

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        """What time does: states `t_s` seconds after they were programmed to `g`.

        `wanted` is what `program` was asked for. Raises ValueError, in a sentence, for a time at
        which the device is not known.
        """
        return g

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        """What temperature does: states at `temperature_C` instead of 25 degrees Celsius."""
        return g

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor | None:
        """Drawn at each read: standard deviation of states `t_s` seconds after programming.

        None for a device without read noise.
        """
        return None


METHODS = ("program", "age", "heat", "read_sigma")


def list_devices() -> dict[str, str]:
    """Names of the installed device models, and the objects that they stand for."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


def device_of(target: Target) -> Device | None:
    """The target's device model, or None for perfect devices.

    Raises TargetError in one sentence when the model does not exist or refuses its options.
    """
    given = target.device.noise
    if given is None:
        return None
    where = f"{target.name}:device.noise"
    factory = class_of(given, where)
    try:
        device: Device = factory(**target.device.options)
    except (TypeError, ValueError) as error:
        raise TargetError(f"{where}: {factory.__name__} refuses its options: {error}.") from error
    except (Exception, SystemExit) as error:  # whatever a plug-in raises
        raise TargetError(f"{where}: {factory.__name__} failed: {error!r}.") from error
    _check_range(device, target)
    return device


def _check_figure(device: Device, key: str, where: str) -> None:
    """What a device model says of itself is a number above 0, if it says it."""
    name = type(device).__name__
    try:
        value: Any = getattr(device, key, None)
    except Exception as error:  # whatever a plug-in's property raises
        raise TargetError(f"{where}: {key} of {name} failed: {error!r}.") from error
    whole = key == "devices"
    if value is None and not whole:
        return
    kinds = (int,) if whole else (int, float)
    if type(value) not in kinds or not 0 < value < math.inf:
        wish = "a whole number above 0" if whole else "a number above 0"
        raise TargetError(f"{where}: {key} of {name} must be {wish}, but is {value!r}.")


def class_of(given: str, where: str) -> type[Any]:
    path = given
    if ":" not in given:
        known = list_devices()
        if given not in known:
            raise TargetError(
                f"{where} names '{given}', which is neither 'package.module:Class' nor one of "
                f"{', '.join(sorted(known))}." + did_you_mean(given, sorted(known))
            )
        path = known[given]
    module_name, _, class_name = path.partition(":")
    try:
        factory = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise TargetError(f"{where} names {path}, which cannot be imported: {error}.") from error
    except AttributeError as error:
        raise TargetError(
            f"{where} names {path}, but {module_name} has no {class_name}."
        ) from error
    except (Exception, SystemExit) as error:  # a plug-in's module may raise anything
        raise TargetError(f"{where} names {path}, whose module failed: {error!r}.") from error
    missing = [name for name in METHODS if not callable(getattr(factory, name, None))]
    if not isinstance(factory, type) or "program" in missing:
        raise TargetError(f"{where} names {path}, which is not a class with a method 'program'.")
    if missing:
        raise TargetError(
            f"{where} names {path}, which has no method {missing[0]!r}: "
            f"derive it from afmc.Device, which brings the rest."
        )
    return factory


def _check_range(device: Device, target: Target) -> None:
    """A model of one conductance range is not a model of another."""
    described = target.device
    for key in ("devices", "g_min_uS", "g_max_uS"):
        _check_figure(device, key, f"{target.name}:device.noise")
    if described.devices_per_polarity % device.devices:
        raise TargetError(
            f"{target.name}:device.devices_per_polarity is {described.devices_per_polarity}, but "
            f"{type(device).__name__} with these options is a model of {device.devices}."
        )
    least = getattr(device, "g_min_uS", None)
    lowest = target.device.cell_max(device.devices) * described.state_min / described.state_max
    if least is not None and lowest < least * (1 - 1e-6):
        raise TargetError(
            f"{target.name}:device.g_min_uS is {described.state_min:g} uS, but "
            f"{type(device).__name__} with these options is a model of {least:g} uS or more."
        )
    expected = getattr(device, "g_max_uS", None)
    given = target.device.cell_max(device.devices)
    if expected is not None and abs(expected - given) > 1e-6 * expected:
        share = (
            ""
            if device.devices == described.devices_per_polarity
            else f", of which each cell has {given:g} uS"
        )
        raise TargetError(
            f"{target.name}:device.g_max_uS is {described.state_max:g} uS{share}, but "
            f"{type(device).__name__} with these options is a model of {expected:g} uS."
        )
