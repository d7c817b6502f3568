"""Normal noise that belongs to no device in particular."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from afmc.simulator.devices.base import Device
from afmc.simulator.devices.polynomial import add_noise, require_not_negative, require_positive


@dataclass(frozen=True)
class GaussianNoise(Device):
    """Normal noise on every weight, whatever its size.

    Each side of the differential pair gets sigma / sqrt(2) of g_max. Nothing is clamped: a state
    may become negative. Time, temperature and reads change nothing. The unit is that of g_max,
    which for light is 1.

    Source: Büchel et al., Analog Foundation Models, NeurIPS 2025, where sigma is 0.02 to 0.05.
    """

    sigma: float
    """Standard deviation of the weight, relative to the largest of its column (or tile)."""
    g_max_uS: float = 25.0
    """Largest state."""

    def __post_init__(self) -> None:
        require_not_negative("sigma", self.sigma)
        require_positive("g_max_uS", self.g_max_uS)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, self.sigma * self.g_max_uS / 2**0.5, generator)


@dataclass(frozen=True)
class RelativeGaussian(Device):
    """Normal noise in proportion to the state: a state of zero is exact.

    Nothing is clamped: with a large sigma a state may become negative. Time, temperature and reads
    change nothing. Any unit, any range.

    Source: the multiplicative model that noise-aware training commonly uses; no device behaves so.
    """

    sigma: float
    """Standard deviation of a state, relative to that state."""

    def __post_init__(self) -> None:
        require_not_negative("sigma", self.sigma)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, g * self.sigma, generator)
