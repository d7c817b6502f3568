"""Light: a state is a transmission between 0 and 1.

What is drawn at each read, shot and thermal noise and that of the lasers, belongs to detectors and
light sources, not to a cell: the simulator adds it, from a target's `[optics]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from afmc.hardware.conditions import ROOM_C
from afmc.simulator.devices.base import Device
from afmc.simulator.devices.polynomial import (
    normal_like,
    require_not_negative,
    require_positive,
)


@dataclass(frozen=True)
class MachZehnder(Device):
    """Mach-Zehnder interferometers: a heater sets the phase, sin^2(theta / 2) is transmitted.

    For a transmission from 0 to 1 the phase goes from 0 to pi, in equal steps of the heater's
    converter. A phase has a normal error, drawn once, and a share of the phases of the
    neighbouring heaters: before and after in the last dimension of the block and in the one before
    the last. Nothing calibrates that crosstalk away.

    Time and temperature change nothing: the bias is taken to be actively stabilised (assumed).
    Insertion loss is not modelled.

    Source: textbook; crosstalk as in torchonn and SqueezeLight (0.01 for a device). Resolution and
    phase error are assumed.
    """

    bits: int = 8
    """Resolution of a phase, over half a turn (assumed)."""
    phase_sigma_rad: float = 0.01
    """Standard deviation of a phase after programming (assumed)."""
    crosstalk: float = 0.01
    """Share of each neighbour's phase that a phase gets."""

    def __post_init__(self) -> None:
        _require_bits(self.bits)
        require_not_negative("phase_sigma_rad", self.phase_sigma_rad)
        require_not_negative("crosstalk", self.crosstalk)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        _require_transmission(self, g)
        step = pi / (2**self.bits - 1)
        theta = (1 - 2 * g).clamp_(-1, 1).acos_().div_(step).round_().mul_(step)
        theta.add_(normal_like(g, generator).mul_(self.phase_sigma_rad))
        sum_ = theta.clone()
        for dim in range(max(g.dim() - 2, 0), g.dim()):
            length = g.shape[dim] - 1
            for to, of in ((1, 0), (0, 1)):
                if length > 0:
                    neighbour = theta.narrow(dim, of, length)
                    sum_.narrow(dim, to, length).add_(neighbour, alpha=self.crosstalk)
        return sum_.div_(2).sin_().square_()


@dataclass(frozen=True)
class Microring(Device):
    """Microring resonators: at a detuning of d half widths 1 / (1 + d^2) of the channel is dropped.

    For a transmission of 1 a ring is on resonance; for less it is heated off resonance, to the
    red, in equal steps of the heater's converter up to `detuning_hwhm`: a transmission of 0 gets
    as close as 1 / (1 + detuning^2), 0.0099 by default. A detuning has a normal error, drawn once.
    The last dimension of a block holds the wavelengths of one bus, in order: from each
    neighbouring channel a ring drops what its Lorentzian leaves there, which counts for that
    channel; together at most 1. In a differential pair most of it cancels.

    Temperature shifts all resonances to the red, 75 pm/K in silicon, less what a control loop
    takes away. Time changes nothing. Insertion loss is not modelled.

    Source: textbook; 4 to 9 bits of control are usual (arXiv:2104.01164). Widths, spacing and what
    remains after control are assumed.
    """

    bits: int = 7
    """Resolution of a detuning. Where the Lorentzian is steep it means fewer bits of a weight."""
    hwhm_pm: float = 50.0
    """Half width at half maximum of a resonance (assumed)."""
    spacing_hwhm: float = 40.0
    """Distance of two channels, in half widths (assumed)."""
    detuning_hwhm: float = 10.0
    """Largest detuning, in half widths (assumed)."""
    resonance_sigma_pm: float = 1.0
    """Standard deviation of a resonance after programming (assumed)."""
    residual_pm_per_K: float = 0.75
    """Shift of the resonances that remains after control, 1 % of 75 pm/K (assumed)."""

    def __post_init__(self) -> None:
        _require_bits(self.bits)
        for name in ("hwhm_pm", "spacing_hwhm", "detuning_hwhm"):
            require_positive(name, getattr(self, name))
        if self.spacing_hwhm <= self.detuning_hwhm:
            raise ValueError(
                f"spacing_hwhm must be greater than detuning_hwhm, {self.detuning_hwhm}, "
                f"but is {self.spacing_hwhm}"
            )
        require_not_negative("resonance_sigma_pm", self.resonance_sigma_pm)
        require_not_negative("residual_pm_per_K", self.residual_pm_per_K)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        _require_transmission(self, g)
        step = self.detuning_hwhm / (2**self.bits - 1)
        detuning = _detuning(g).clamp_(max=self.detuning_hwhm).div_(step).round_().mul_(step)
        error = normal_like(g, generator).mul_(self.resonance_sigma_pm / self.hwhm_pm)
        detuning.add_(error)
        dropped = _dropped(detuning.clone())
        dropped[..., 1:] += _dropped(self.spacing_hwhm - detuning[..., :-1])
        dropped[..., :-1] += _dropped(self.spacing_hwhm + detuning[..., 1:])
        return dropped.clamp_(max=1)

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        if temperature_C == ROOM_C:
            return g
        shift_pm = self.residual_pm_per_K * (temperature_C - ROOM_C)
        return _dropped(_detuning(g).add_(shift_pm / self.hwhm_pm))


def _detuning(g: Tensor) -> Tensor:
    """In half widths, at which a ring drops `g` of its channel; infinite for 0."""
    return g.reciprocal().sub_(1).clamp_(min=0).sqrt_()


def _dropped(detuning: Tensor) -> Tensor:
    """The share that a ring drops; overwrites its argument."""
    return detuning.square_().add_(1).reciprocal_()


def _require_bits(bits: int) -> None:
    if bits not in range(1, 17):
        raise ValueError(f"bits must be a whole number from 1 to 16, but is {bits}")


def _require_transmission(device: Device, g: Tensor) -> None:
    largest = float(g.max()) if g.numel() else 0.0
    if largest > 1 + 1e-6:
        raise ValueError(
            f"{type(device).__name__} takes transmissions up to 1, but was given {largest:g}"
        )
