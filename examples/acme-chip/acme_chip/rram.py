"""The memory cell of the ACME 256."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import torch
from torch import Tensor

from afmc import Device


@dataclass(frozen=True)
class AcmeRram(Device):
    """An invented resistive cell, to be copied.

    Writing leaves a normal error. Then the states relax: with each decade of time after 1 s they
    lose a share of themselves and spread. Heat makes them conduct more. A read has a normal error
    in proportion to the state. Nothing becomes negative.
    """

    g_max_uS: float = 50.0
    """Largest conductance. A target with another one is refused."""
    write_std: float = 0.006
    """Standard deviation after writing, relative to g_max."""
    loss_per_decade: float = 0.03
    """Share of a state that is lost in each decade of time."""
    spread_per_decade: float = 0.001
    """Standard deviation that each decade of time adds, relative to g_max."""
    per_K: float = 0.0005
    """Relative change of a state for each kelvin."""
    read_std: float = 0.002
    """Standard deviation of a read, relative to the state."""

    def __post_init__(self) -> None:
        if self.write_std < 0:
            raise ValueError(f"write_std must be at least 0, but is {self.write_std:g}")

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        error = torch.randn(g.shape, generator=generator)
        return (g + self.write_std * self.g_max_uS * error).clamp(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        decades = log10(max(t_s, 1.0))
        error = torch.randn(g.shape, generator=generator)
        left = g * (1 - self.loss_per_decade * decades)
        return (left + self.spread_per_decade * decades * self.g_max_uS * error).clamp(min=0)

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        return g * (1 + self.per_K * (temperature_C - 25))

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor:
        return self.read_std * g
