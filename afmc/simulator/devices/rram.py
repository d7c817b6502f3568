"""Resistive memory. A state does not drift as in PCM: it relaxes, in both directions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import log, sqrt

import torch
from torch import Tensor

from afmc.hardware.conditions import ROOM_C, format_time
from afmc.simulator.devices.base import Device
from afmc.simulator.devices.polynomial import (
    DAY_S,
    add_noise,
    normal_like,
    polynomial,
    require_not_negative,
    require_positive,
)


@dataclass(frozen=True, kw_only=True)
class _Rram(Device):
    """What resistive cells have in common: how they respond to temperature.

    A fully formed filament conducts like a metal, a broken one like a semiconductor. So a state
    becomes g exp(-c (T - 25)), where c goes linearly with x = wanted / g_max from -tcr at 0 to
    +tcr at 1 and has a normal error in each cell: some change in the other direction.

    Assumed: the coefficient of the metallic state is 1e-3 to 2e-3 per kelvin in the literature,
    the rest of the law is a guess.
    """

    tcr_per_K: float = 1.5e-3
    """Relative change of the resistance at g_max (assumed)."""
    tcr_std_per_K: float = 5e-4
    """Its spread from cell to cell, in every state (assumed)."""

    def __post_init__(self) -> None:
        require_positive("g_max_uS", self.g_max_uS)
        require_not_negative("tcr_per_K", self.tcr_per_K)
        require_not_negative("tcr_std_per_K", self.tcr_std_per_K)

    @property
    @abstractmethod
    def g_max_uS(self) -> float:
        """Largest conductance."""

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        if temperature_C == ROOM_C:
            return g
        coefficient = normal_like(g, generator).mul_(self.tcr_std_per_K)
        coefficient.add_(wanted, alpha=2 * self.tcr_per_K / self.g_max_uS).sub_(self.tcr_per_K)
        return coefficient.mul_(ROOM_C - temperature_C).exp_().mul_(g)


@dataclass(frozen=True)
class RramWan2022(_Rram):
    """Cells of the NeuRRAM chip, 130 nm, known at three times after programming.

    What was published is how far cells are from their target 1 s, 1 day and 2 days after
    programming. So `program` returns the target itself, and `age` adds a normal error, its
    standard deviation in uS a polynomial of x = wanted / g_max; then not below zero:

        1 s      0.348 + 16.030 x - 43.853 x^2 + 45.393 x^3 - 16.815 x^4
        1 day    0.701 + 22.086 x - 50.773 x^2 + 47.095 x^3 - 16.458 x^4
        2 days   0.782 + 20.274 x - 43.507 x^2 + 37.062 x^3 - 11.934 x^4

    A cell keeps its random number, so that its error only grows
    or shrinks in proportion. 0 s counts as 1 s; other times are refused, since the three do not
    lie on a curve: from 1 to 2 days some states get better.

    The polynomials are for g_max 40 uS (data up to 39 uS) and are scaled by g_max / 40 uS
    otherwise, as AIHWKIT intends but does not do: at its own default of 25 uS its error is 1.6
    times too large. A read has the same normal error in every state (second hand; the paper gives
    no figure).

    Source: Wan et al., Nature 608, 504 (2022), Extended Data Fig. 3, as fitted in AIHWKIT's
    ReRamWan2022NoiseModel, inference/noise/reram.py. CrossSim's RRAM_Wan.py fits a cubic to the
    same data at 1 s.
    """

    g_max_uS: float = 40.0
    """Largest conductance."""
    read_sigma_relative: float = 0.01
    """Standard deviation of a read, relative to g_max (assumed)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_not_negative("read_sigma_relative", self.read_sigma_relative)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return g

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        fits = {
            1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
            1 * DAY_S: (0.701, 22.086, -50.773, 47.095, -16.458),
            2 * DAY_S: (0.782, 20.274, -43.507, 37.062, -11.934),
        }
        fit = fits.get(t_s or 1.0)
        if fit is None:
            raise ValueError(
                f"it is known at 1s, 1d and 2d after programming, not at {format_time(t_s)}"
            )
        sigma = polynomial(wanted / self.g_max_uS, fit).mul_(self.g_max_uS / 40)
        return add_noise(g, sigma, generator).clamp_(min=0)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor | None:
        if self.read_sigma_relative == 0:
            return None
        return torch.full_like(g, self.read_sigma_relative * self.g_max_uS)


@dataclass(frozen=True)
class RramCmo(_Rram):
    """IBM's conductive metal oxide on HfOx, analog filamentary cells from 9 to 88.2 uS.

    * programming: normal, standard deviation in uS 0.00107 g + 0.00081 where it stops within 0.2 %
      of the target, 0.01129 g + 0.01122 within 2 %. Not clamped.
    * relaxation, the same in every state: the mean falls by 0.089 uS for each e-fold of time after
      1 s, the standard deviation is 0.042 ln(t / 1 s) + 0.412 uS; then clamped to the range.
    * read noise: 0.0277 log10(g / 1 uS) sqrt(ln((t + t_read) / (2 t_read))) uS, t_read = 1 us.

    At 1 s the fit already has 0.412 uS: what the cells did in the first second. At `t_s` = 0
    nothing has relaxed, and a time between 0 and 1 s counts as 1 s; AIHWKIT's logarithm instead
    raises the conductance there. For reads any time below 1 s counts as 1 s, where AIHWKIT has no
    read noise at 0. In AIHWKIT the default acceptance range, 2e-2, is not one of its ranges, and
    0.2 % is silently taken: here it is a choice. One cell stands for a signed weight there
    (target: offset encoding).

    Source: Falcone et al., 2025 (IBM Research Zurich), as fitted in AIHWKIT's ReRamCMONoiseModel,
    inference/noise/reram.py.
    """

    g_min_uS = 9.0
    g_max_uS = 88.2

    acceptance_percent: float = 0.2
    """At which error of the conductance programming stops: 0.2 or 2 per cent of the target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.acceptance_percent not in (0.2, 2):
            raise ValueError(
                f"acceptance_percent must be 0.2 or 2, but is {self.acceptance_percent}"
            )

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        offset, slope = {
            0.2: (0.00081107, 0.00106879),
            2: (0.0112185391, 0.01129027418),
        }[self.acceptance_percent]
        return add_noise(g, (g * slope).add_(offset), generator)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if t_s == 0:
            return g
        ln_t = log(max(t_s, 1.0))
        error = normal_like(g, generator).mul_(0.04201137 * ln_t + 0.41183342)
        return error.sub_(0.08900206 * ln_t).add_(g).clamp_(self.g_min_uS, self.g_max_uS)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor:
        periods = sqrt(log((max(t_s, 1.0) + 1e-6) / 2e-6))
        return g.clamp(min=1).log10_().mul_(0.0277316483 * periods)


@dataclass(frozen=True)
class RramMilo(_Rram):
    """HfO2 cells from 50 to 225 uS, as programmed by an algorithm with 100 mV steps (IGVVA-100).

    Programming is normal, standard deviation 4.782321 - 0.009107 g in uS, 4.33 at 50 uS and 2.73 at
    225 uS; then not below zero. Any later time is refused: only the programmed state was
    published. There is no read noise.

    The current of these cells is not linear in the voltage. That is not modelled, and does not
    matter where inputs are the widths of pulses of one voltage.

    Source: Milo et al., IRPS 2021, Fig. 4, as fitted in CrossSim, devices/custom/RRAM_Milo.py.
    """

    g_min_uS = 50.0

    g_max_uS: float = 225.0
    """Largest conductance, at most 225 uS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.g_min_uS < self.g_max_uS <= 225:
            raise ValueError(
                f"g_max_uS must be greater than 50 and at most 225, but is {self.g_max_uS}"
            )

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, (g * -0.009107).add_(4.782321), generator).clamp_(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if t_s != 0:
            raise ValueError(f"it is known as programmed, not {format_time(t_s)} after programming")
        return g
