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

    `of` says of what it is a share. Of the full scale of a weight, each side of the differential
    pair gets 1 / sqrt(2) of it: 0.03 of the weight is 0.021 of g_max for each side. Nothing is
    clamped: a state may become negative. Time and temperature change nothing. The unit is that of
    g_max, which for light is 1.

    Source: Büchel et al., Analog Foundation Models, NeurIPS 2025, where sigma is 0.02 to 0.05 of
    the weight.
    """

    sigma: float
    """Standard deviation of what was programmed, a share of what `of` says."""
    g_max_uS: float = 25.0
    """Largest state of a side."""
    of: str = "weight"
    """weight: sigmas are shares of the largest weight of the column (or tile). device: they are
    shares of g_max, for each side by itself."""
    sigma_read: float = 0.0
    """Standard deviation of a read, a share of what `of` says; `device.read_noise` says when it is
    drawn."""

    def __post_init__(self) -> None:
        require_not_negative("sigma", self.sigma)
        require_not_negative("sigma_read", self.sigma_read)
        require_positive("g_max_uS", self.g_max_uS)
        if self.of not in ("weight", "device"):
            raise ValueError(f"of must be 'weight' or 'device', but is {self.of!r}")

    @property
    def full_scale_uS(self) -> float:
        """Of what the sigmas are shares, for one side."""
        return self.g_max_uS if self.of == "device" else self.g_max_uS / 2**0.5

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, self.sigma * self.full_scale_uS, generator)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor | None:
        if not self.sigma_read:
            return None
        return torch.full_like(g, self.sigma_read * self.full_scale_uS)


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
