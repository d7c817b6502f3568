"""What a memory cell does to a weight: statistical models of published devices.

A device model is any object with ``program``. It sees conductances of one polarity; the simulator
makes the differential pairs, owns the random numbers and scales the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol

import torch
from torch import Tensor

from afmc.errors import TargetError
from afmc.targets import Target


class Device(Protocol):
    """Drawn once, when an instance is programmed."""

    def program(self, g_uS: Tensor, generator: torch.Generator) -> Tensor:
        """Conductances in microsiemens that result from trying to write `g_uS`, same shape."""
        ...


def _polynomial(x: Tensor, ascending: tuple[float, ...]) -> Tensor:
    result = torch.full_like(x, ascending[-1])
    for coefficient in reversed(ascending[:-1]):
        result.mul_(x).add_(coefficient)
    return result


def _add_noise(g_uS: Tensor, sigma_uS: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.empty_like(g_uS).normal_(generator=generator)
    return torch.addcmul(g_uS, sigma_uS, noise)


@dataclass(frozen=True)
class HermesPcm:
    """Phase-change cells of IBM's 64-core HERMES chip as programmed, before any drift.

    Standard deviation in uS as a cubic of the conductance relative to g_max, for one device
    (g_max 10.35 uS) or two devices (20.7 uS) a polarity. Conductance cannot become negative, so the
    mean at zero is above zero.

    Source: Le Gallo et al., Nature Electronics 6, 680 (2023), as fitted in AIHWKIT's
    HermesNoiseModel.
    """

    devices: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if self.devices not in (1, 2):
            raise ValueError(f"devices must be 1 or 2, but is {self.devices}")

    @property
    def g_max_uS(self) -> float:
        return 10.35 * self.devices

    def sigma_uS(self, g_uS: Tensor) -> Tensor:
        coefficients = {
            1: (0.15781817, 2.32443916, -2.16310839, 0.68841818),
            2: (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        }
        return _polynomial(g_uS / self.g_max_uS, coefficients[self.devices])

    def program(self, g_uS: Tensor, generator: torch.Generator) -> Tensor:
        return _add_noise(g_uS, self.sigma_uS(g_uS), generator).clamp_(min=0)


@dataclass(frozen=True)
class AfmScriptPcm:
    """The programming noise with which analog foundation models are evaluated.

    Conductance is counted in units of g_max/180. Up to 52.5 units a weight uses one device, above
    it two, each with its own cubic for the standard deviation; below 0.6 units a cell is erased and
    exact, so that of a differential pair only the written side is noisy. Nothing is clamped: a
    conductance may exceed g_max or change its sign, as in the original.

    Two faults of the original are not copied: it rounds the standard deviation to half precision,
    and it divides by the largest weight plus 6e-5, which shrinks small weights.

    Source: Büchel et al., Analog Foundation Models, NeurIPS 2025, ``apply_noise_model.py``.
    """

    g_max_uS: float = 25.0

    def sigma_uS(self, g_uS: Tensor) -> Tensor:
        unit_uS = self.g_max_uS / 180
        g = g_uS.abs() / unit_uS
        one = _polynomial(
            g,
            (2.5797410660159494, 0.22419685954327148, -0.00371581208142707, 2.939751381126213e-05),
        )
        two = _polynomial(
            g,
            (2.110295720240385, 0.2453487119885723, -0.003054993405157235, 1.2329755395573392e-05),
        )
        return torch.where(g > 52.5, two, one).mul_(unit_uS).mul_(g >= 0.6)

    def program(self, g_uS: Tensor, generator: torch.Generator) -> Tensor:
        erased = g_uS.abs() < 0.6 * self.g_max_uS / 180
        return _add_noise(g_uS, self.sigma_uS(g_uS), generator).masked_fill_(erased, 0.0)


@dataclass(frozen=True)
class GaussianNoise:
    """The same normal noise on every weight, whatever its size.

    `sigma` is the standard deviation of the weight relative to the largest of its column (or tile),
    as in the paper's additive model, where it is 0.02 to 0.05. Each side of the differential pair
    gets sigma / sqrt(2) of g_max, and nothing is clamped.

    Source: Büchel et al., Analog Foundation Models, NeurIPS 2025.
    """

    sigma: float
    g_max_uS: float = 25.0

    def __post_init__(self) -> None:
        if not self.sigma >= 0:
            raise ValueError(f"sigma must not be negative, but is {self.sigma}")

    def program(self, g_uS: Tensor, generator: torch.Generator) -> Tensor:
        sigma_uS = torch.full_like(g_uS, self.sigma * self.g_max_uS / 2**0.5)
        return _add_noise(g_uS, sigma_uS, generator)


def device_of(target: Target) -> Device | None:
    """The target's device model, or None for perfect devices.

    Raises TargetError in one sentence when the class does not exist or refuses its options.
    """
    path = target.device.noise
    if path is None:
        return None
    where = f"{target.name}:device.noise"
    module_name, _, class_name = path.partition(":")
    try:
        factory = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise TargetError(f"{where} names {path}, which cannot be imported: {error}.") from error
    except AttributeError as error:
        raise TargetError(
            f"{where} names {path}, but {module_name} has no {class_name}."
        ) from error
    if not (isinstance(factory, type) and callable(getattr(factory, "program", None))):
        raise TargetError(f"{where} names {path}, which is not a class with a method 'program'.")
    try:
        device = factory(**target.device.options)
    except (TypeError, ValueError) as error:
        raise TargetError(f"{where}: {class_name} refuses its options: {error}.") from error
    for key, attribute, unit in (
        ("g_max_uS", "g_max_uS", " uS"),
        ("devices_per_polarity", "devices", ""),
    ):
        given, expected = getattr(target.device, key), getattr(device, attribute, None)
        if expected is not None and abs(expected - given) > 1e-9:
            raise TargetError(
                f"{target.name}:device.{key} is {given:g}{unit}, but {class_name} with these "
                f"options is a model of {expected:g}{unit}."
            )
    return device
