"""Ferroelectric transistors. No calibrated public model was found: this one illustrates."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import torch
from torch import Tensor

from afmc.simulator.devices.base import Device
from afmc.simulator.devices.polynomial import add_noise, require_not_negative, require_positive


@dataclass(frozen=True)
class FeFet(Device):
    """An illustrative ferroelectric transistor: no calibrated statistics of one are public.

    Programming adds the same normal error to every state, for the spread of the threshold voltage
    from device to device. Depolarisation then takes a share of the conductance that grows with the
    logarithm of time, from 1 s on: g (1 - r log10(t / 1 s)). A conductance never becomes negative.
    Not modelled: read noise, temperature (`heat` changes nothing) and the non-linear write.

    Source: range from NeuroSim V2.1 (240 kohm, on/off ratio 100: 0.042 to 4.2 uS). The standard
    deviation (3 to 8 % is usual) and the loss (0.5 to 2 % a decade) are assumed.
    """

    g_max_uS: float = 4.2
    """Largest conductance."""
    sigma_relative: float = 0.05
    """Standard deviation after programming, relative to g_max."""
    loss_per_decade: float = 0.01
    """Share of the conductance that is lost in each tenfold of time after 1 s."""

    def __post_init__(self) -> None:
        require_positive("g_max_uS", self.g_max_uS)
        require_not_negative("sigma_relative", self.sigma_relative)
        require_not_negative("loss_per_decade", self.loss_per_decade)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, self.sigma_relative * self.g_max_uS, generator).clamp_(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        lost = self.loss_per_decade * log10(max(t_s, 1.0))
        return g * max(1 - lost, 0.0) if lost else g
