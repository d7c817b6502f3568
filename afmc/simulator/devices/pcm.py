"""Phase-change memory. A state drifts because its amorphous part relaxes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import log, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from afmc.hardware.conditions import ROOM_C
from afmc.simulator.devices.base import Device
from afmc.simulator.devices.polynomial import (
    add_noise,
    normal_like,
    polynomial,
    require_not_negative,
    require_positive,
)

BOLTZMANN_eV_K = 8.617333262e-5
ZERO_C_K = 273.15


@dataclass(frozen=True, kw_only=True)
class _Pcm(Device):
    """What phase-change cells have in common: how they respond to temperature.

    A cell is a crystalline part, which conducts g_max at any temperature, in series with an
    amorphous part, whose conductance goes with exp(-Ea / kB T). For the state x = wanted / g_max
    this is g / (x + (1 - x) exp(Ea / kB (1/T - 1/T0))), T0 = 25 degrees Celsius: near T0 an
    exponential with the activation energy Ea (1 - x), 0.25 eV in the RESET state and none when
    fully SET. That exponential by itself would let a middle state conduct more than g_max above 59
    degrees.

    Assumed, the law as well as its figures. The drift exponent is taken to be that of 25 degrees.
    """

    activation_eV: float = 0.25
    """Activation energy of the amorphous part (assumed; published: 0.05 to 0.3 eV)."""
    activation_std_eV: float = 0.01
    """Its spread from cell to cell (assumed)."""

    def __post_init__(self) -> None:
        require_positive("g_max_uS", self.g_max_uS)
        require_not_negative("activation_eV", self.activation_eV)
        require_not_negative("activation_std_eV", self.activation_std_eV)

    @property
    @abstractmethod
    def g_max_uS(self) -> float:
        """Largest conductance."""

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        if temperature_C == ROOM_C:
            return g
        per_K = 1 / (temperature_C + ZERO_C_K) - 1 / (ROOM_C + ZERO_C_K)
        per_eV = per_K / BOLTZMANN_eV_K
        amorphous = normal_like(g, generator).mul_(self.activation_std_eV * per_eV)
        amorphous.add_(self.activation_eV * per_eV).exp_()
        x = wanted / self.g_max_uS
        return torch.div(g, (1 - x).mul_(amorphous).add_(x))


def _drifted(
    g: Tensor,
    nu_mean: Tensor | float,
    nu_std: Tensor | float,
    elapsed: float,
    generator: torch.Generator,
) -> Tensor:
    """g times elapsed to the power of -nu, where nu is the absolute value of a normal number."""
    nu = normal_like(g, generator).mul_(nu_std).add_(nu_mean).abs_()
    return nu.mul_(-log(elapsed)).exp_().mul_(g)


def _flicker(g: Tensor, q: Tensor, t_s: float, t_read_s: float) -> Tensor:
    """Standard deviation of a read of `g` due to 1/f noise since programming; overwrites `q`."""
    return q.mul_(g).abs_().mul_(sqrt(log((t_s + t_read_s) / (2 * t_read_s))))


@dataclass(frozen=True)
class PcmPolynomial(_Pcm):
    """Mushroom cells of an IBM array of a million, g_max 25 uS: AIHWKIT's PCMLikeNoiseModel.

    With x = wanted / g_max:

    * programming: normal, standard deviation 0.26348 + 1.9650 x - 1.1731 x^2 in uS, then not below
      zero, so that the mean at zero is above zero. For another g_max it is scaled by g_max / 25 uS.
    * drift: g (t / t0)^-nu. nu is the absolute value of a normal number of mean
      -0.0155 ln x + 0.0244, within 0.049 and 0.1, and standard deviation -0.0125 ln x - 0.0059,
      within 0.008 and 0.045. t counts from the programming pulse and the programmed state is that
      of t0 = 20 s: at `t_s` seconds of use t is t_s + t0.
    * read noise: g Q sqrt(ln((t + t_read) / (2 t_read))), t_read = 250 ns, Q = 0.0088 / x^0.65 and
      at most 0.2. Its t is that of drift, hence a read at t_s = 0 is noisy.

    Q belongs to the state that was wanted, as AIHWKIT documents; its code takes the state that
    resulted (issue #436), which makes a cell that came out too low by chance noisier too. AIHWKIT
    also clamps a read at zero, which is left to the simulator here, and fails when the reference
    of the polynomial is given explicitly.

    Source: Nandakumar et al., ICECS 2019; Joshi et al., Nature Communications 11, 2473 (2020);
    AIHWKIT, inference/noise/pcm.py.
    """

    g_max_uS: float = 25.0
    """Largest conductance."""
    nu: float | None = None
    """Mean drift exponent of every state, for improved materials: 0.04 for projected cells of
    SiSbTe (second hand). None: that of the array, 0.049 to 0.1 by state."""
    nu_std: float = 0.0
    """Spread of that exponent from cell to cell."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_not_negative("nu_std", self.nu_std)
        if self.nu is None:
            if self.nu_std:
                raise ValueError(
                    f"nu_std is {self.nu_std}, but nu, whose spread it is, is not given"
                )
        else:
            require_not_negative("nu", self.nu)

    def sigma_uS(self, g_uS: Tensor) -> Tensor:
        """Standard deviation of programming."""
        sigma = polynomial(g_uS / self.g_max_uS, (0.26348, 1.9650, -1.1731))
        return sigma.mul_(self.g_max_uS / 25)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, self.sigma_uS(g), generator).clamp_(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if t_s == 0:
            return g
        elapsed = (t_s + 20) / 20
        if self.nu is not None:
            return _drifted(g, self.nu, self.nu_std, elapsed, generator)
        ln_x = (wanted / self.g_max_uS).clamp_(min=1e-7).log_()
        mean = (ln_x * -0.0155).add_(0.0244).clamp_(0.049, 0.1)
        std = ln_x.mul_(-0.0125).sub_(0.0059).clamp_(0.008, 0.045)
        return _drifted(g, mean, std, elapsed, generator)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor:
        q = (wanted / self.g_max_uS).pow_(-0.65).mul_(0.0088).clamp_(max=0.2)
        return _flicker(g, q, t_s + 20, 250e-9)


class _Fit(NamedTuple):
    """A function of x: linear in ln x and limited below an edge, from there on a polynomial."""

    edge: float
    slope: float
    offset: float
    limits: tuple[float, float]
    above: tuple[float, ...]

    def at(self, x: Tensor, ln_x: Tensor) -> Tensor:
        below = (ln_x * self.slope).add_(self.offset).clamp_(*self.limits)
        return torch.where(x < self.edge, below, polynomial(x, self.above))


@dataclass(frozen=True)
class HermesPcm(_Pcm):
    """Cells of IBM's 64-core HERMES chip, one device a polarity (g_max 10.35 uS) or two (20.7 uS).

    Two devices are one state here, their sum. With x = wanted / g_max:

    * programming: normal, then not below zero, so that the mean at zero is above zero. Standard
      deviation in uS, of one device 0.15781817 + 2.32443916 x - 2.16310839 x^2 + 0.68841818 x^3,
      of two 0.16603222 + 4.71806468 x - 8.48101252 x^2 + 4.68961419 x^3.
    * drift: g (t / t0)^-nu, t0 = 200 s with one device and 300 s with two. The programmed state is
      that of t0: at `t_s` seconds of use t is t_s + t0. nu is the absolute value of a normal
      number. Its mean is -0.0387 ln x - 0.0182, within 0.072 and 0.13, below x = 0.0945, and
      0.0736 - 0.0126 x - 0.0436 x^2 from there on. Its standard deviation with one device is
      -0.0120 ln x - 0.0023, within 0.0124 and 0.04, below 0.3039, then
      0.0104 + 0.0116 x - 0.0165 x^2; with two -0.0117 ln x - 0.0057, within 0.0091 and 0.04, below
      0.3055, then 0.0073 + 0.0093 x - 0.0118 x^2.
    * read noise: g Q sqrt(ln((t + t_read) / (2 t_read))), t_read = 512 ns; its t is that of drift.
      Q with one device is -0.0078 ln x + 0.0038, within 0.0179 and 0.04, below 0.1591, then
      0.0088 + 0.0768 x - 0.1352 x^2 + 0.0664 x^3; with two -0.0117 ln x - 0.0069, within 0.015 and
      0.04, below 0.16, then 0.0123 + 0.0211 x - 0.0280 x^2 + 0.0069 x^3.

    Q belongs to the state that was wanted, as AIHWKIT documents; its code takes the state that
    resulted (issue #436).

    Source: Le Gallo et al., Nature Electronics 6, 680 (2023), as fitted in AIHWKIT's
    HermesNoiseModel, inference/noise/hermes.py.
    """

    devices: int = 2
    """Devices a polarity, 1 or 2."""

    def __post_init__(self) -> None:
        if self.devices not in (1, 2):
            raise ValueError(f"devices must be 1 or 2, but is {self.devices}")
        super().__post_init__()

    @property
    def g_max_uS(self) -> float:
        """Largest conductance, all devices together."""
        return 10.35 * self.devices

    def sigma_uS(self, g_uS: Tensor) -> Tensor:
        """Standard deviation of programming."""
        coefficients = {
            1: (0.15781817, 2.32443916, -2.16310839, 0.68841818),
            2: (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        }
        return polynomial(g_uS / self.g_max_uS, coefficients[self.devices])

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return add_noise(g, self.sigma_uS(g), generator).clamp_(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if t_s == 0:
            return g
        nu_std = {
            1: _Fit(0.3039, -0.0120, -0.0023, (0.0124, 0.04), (0.0104, 0.0116, -0.0165)),
            2: _Fit(0.3055, -0.0117, -0.0057, (0.0091, 0.04), (0.0073, 0.0093, -0.0118)),
        }
        nu_mean = _Fit(0.0945, -0.0387, -0.0182, (0.072, 0.13), (0.0736, -0.0126, -0.0436))
        x = wanted / self.g_max_uS
        ln_x = x.clamp(min=1e-7).log_()
        mean, std = nu_mean.at(x, ln_x), nu_std[self.devices].at(x, ln_x)
        return _drifted(g, mean, std, (t_s + self._t0_s) / self._t0_s, generator)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor:
        q = {
            1: _Fit(0.1591, -0.0078, 0.0038, (0.0179, 0.04), (0.0088, 0.0768, -0.1352, 0.0664)),
            2: _Fit(0.16, -0.0117, -0.0069, (0.015, 0.04), (0.0123, 0.0211, -0.0280, 0.0069)),
        }
        x = wanted / self.g_max_uS
        ln_x = x.clamp(min=1e-7).log_()
        return _flicker(g, q[self.devices].at(x, ln_x), t_s + self._t0_s, 512e-9)

    @property
    def _t0_s(self) -> float:
        return 200.0 if self.devices == 1 else 300.0


@dataclass(frozen=True)
class AfmScriptPcm(_Pcm):
    """The programming noise with which analog foundation models are evaluated.

    A conductance w is counted in units of g_max / 180. Up to 52.5 units a weight uses one device,
    with the standard deviation 2.5797 + 0.22420 w - 3.7158e-3 w^2 + 2.9398e-5 w^3; above it two,
    with 2.1103 + 0.24535 w - 3.0550e-3 w^2 + 1.2330e-5 w^3. Below 0.6 units a cell is erased and
    exact, so that of a differential pair only the written side is noisy. Nothing is clamped: a
    conductance may exceed g_max or change its sign, as in the original.

    The script has neither drift nor read noise. With `drift`, both are those of PcmPolynomial at
    the same g_max, as in the paper's additional experiments, which took them from AIHWKIT: a
    combination of two models, measured on different chips. Temperature is that of all PCM here.

    Two faults of the original are not copied: it rounds the standard deviation to half precision,
    and it divides by the largest weight plus 6e-5, which shrinks small weights.

    Source: Büchel et al., Analog Foundation Models, NeurIPS 2025, ``apply_noise_model.py``.
    """

    devices = 2

    g_max_uS: float = 25.0
    """Largest conductance. The script has none: its noise is relative."""
    drift: bool = False
    """Whether the cells drift, and are noisy to read, as PcmPolynomial's."""

    def sigma_uS(self, g_uS: Tensor) -> Tensor:
        """Standard deviation of programming."""
        unit_uS = self.g_max_uS / 180
        g = g_uS.abs() / unit_uS
        one = polynomial(
            g,
            (2.5797410660159494, 0.22419685954327148, -0.00371581208142707, 2.939751381126213e-05),
        )
        two = polynomial(
            g,
            (2.110295720240385, 0.2453487119885723, -0.003054993405157235, 1.2329755395573392e-05),
        )
        return torch.where(g > 52.5, two, one).mul_(unit_uS).mul_(g >= 0.6)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        erased = g.abs() < 0.6 * self.g_max_uS / 180
        return add_noise(g, self.sigma_uS(g), generator).masked_fill_(erased, 0.0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if not self.drift:
            return g
        return PcmPolynomial(self.g_max_uS).age(g, wanted, t_s, generator)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor | None:
        if not self.drift:
            return None
        return PcmPolynomial(self.g_max_uS).read_sigma(g, wanted, t_s)
