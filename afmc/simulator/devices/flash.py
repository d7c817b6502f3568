"""Flash memory: charge in a nitride layer sets the current of a transistor."""

from __future__ import annotations

from dataclasses import dataclass

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

# nA: A and B of the standard deviation A (1 - exp(-I / B)), by days after programming.
_SPREAD = (
    (19.88665, 176.3115),
    (25.59102, 186.85544),
    (28.72753, 193.56834),
    (31.04318, 198.90332),
    (33.76214, 204.77023),
    (34.57909, 207.34309),
)
_READ = (12.58037, 215.36557)
# nA: the shift of the mean, a polynomial of the current in nA, by days after programming.
_SHIFT: tuple[tuple[float, ...], ...] = (
    (0.0,) * 11,
    (
        1.72684e-01, 5.72552e-02, -6.85715e-04, 3.50271e-06, -9.37682e-09, 1.40575e-11,
        -1.19803e-14, 5.41293e-18, -8.85448e-22, -1.66869e-25, 5.95180e-29,
    ),
    (
        2.50712e-01, 6.62195e-02, -6.83218e-04, 2.99442e-06, -6.78255e-09, 7.70482e-12,
        -3.04983e-15, -2.15919e-18, 2.94617e-21, -1.23359e-24, 1.85329e-28,
    ),
    (
        -1.75300e-02, 9.76883e-02, -9.63791e-04, 4.55551e-06, -1.22391e-08, 1.93786e-11,
        -1.85899e-14, 1.07659e-17, -3.58211e-21, 5.96785e-25, -3.30410e-29,
    ),
    (
        4.03338e-02, 1.03111e-01, -1.04740e-03, 4.83961e-06, -1.28132e-08, 1.99484e-11,
        -1.85139e-14, 1.00008e-17, -2.84944e-21, 3.01008e-25, 1.18747e-29,
    ),
    (
        3.19927e-01, 1.06596e-01, -1.04054e-03, 4.50290e-06, -1.10352e-08, 1.56477e-11,
        -1.27592e-14, 5.45513e-18, -7.26841e-22, -2.43893e-25, 7.14608e-29,
    ),
)  # fmt: skip
_LAST_DAY = len(_SHIFT) - 1


@dataclass(frozen=True)
class Sonos(Device):
    """Charge-trapping SONOS cells, 40 nm, 128 thousand of them measured for five days.

    The data are currents at one voltage, so that current and conductance are proportional: g_max
    stands for `i_max_nA`. All figures below are in nA, I is the current that was wanted.

    * programming: normal, standard deviation A (1 - exp(-I / B)), A = 19.887 and B = 176.31, with
      differences between devices; then not below zero.
    * age: the mean shifts by a polynomial of I of the tenth degree (-2.5 % at full scale after
      five days; `_SHIFT`), and the standard deviation grows, after 1 to 5 days with A = 25.591,
      28.728, 31.043, 33.762, 34.579 and B = 186.86, 193.57, 198.90, 204.77, 207.34, taken at the
      shifted current. Between the days A, B and the shift are interpolated linearly, so that an
      hour has 1/24 of a day's shift, although charge is lost fastest at first. Later times are
      refused, and so are cells of 1800 nA or more, where the polynomials end. The data give the
      spread at each day, not which cell was where: here a cell keeps its programming error and
      gets an independent one, such that the sum has the published spread.
    * read noise: normal, of the same form in the present current, with A = 12.580 and B = 215.37,
      and the same at any time.

    Subthreshold current is exponential in temperature, hence such arrays adjust the gate's bias.
    What remains is assumed: g exp(c (T - 25)), c normal from cell to cell.

    CrossSim extrapolates beyond five days, and draws the whole error anew at each time.

    Source: Agrawal et al., IEDM 2022, 21.7, Figs. 10 and 11, as fitted in CrossSim,
    devices/custom/SONOS.py.
    """

    g_max_uS: float = 16.0
    """Largest conductance."""
    i_max_nA: float = 1600.0
    """Current of a cell at g_max, at most 3200 nA: 1600 nA at 16 uS is a voltage of 0.1 V."""
    residual_per_K: float = 1e-3
    """Relative change of the conductance that the bias does not compensate (assumed)."""
    residual_std_per_K: float = 2e-4
    """Its spread from cell to cell (assumed)."""

    def __post_init__(self) -> None:
        require_positive("g_max_uS", self.g_max_uS)
        if not 0 < self.i_max_nA <= 3200:
            raise ValueError(
                f"i_max_nA must be greater than 0 and at most 3200, but is {self.i_max_nA}"
            )
        require_not_negative("residual_std_per_K", self.residual_std_per_K)

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        sigma = _saturating(g * self._nA_per_uS, _SPREAD[0]).div_(self._nA_per_uS)
        return add_noise(g, sigma, generator).clamp_(min=0)

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        if t_s == 0:
            return g
        days = t_s / DAY_S
        if days > _LAST_DAY:
            raise ValueError(
                f"it is known up to {_LAST_DAY}d after programming, not at {format_time(t_s)}"
            )
        if self.i_max_nA >= 1800:
            raise ValueError(
                f"it is known after programming below 1800 nA, but i_max_nA is {self.i_max_nA:g}"
            )
        current = wanted * self._nA_per_uS
        shift = polynomial(current, _between(_SHIFT, days))
        sigma_then = _saturating(current, _SPREAD[0])
        sigma_now = _saturating(current.add_(shift).clamp_(min=0), _between(_SPREAD, days))
        growth = sigma_now.square_().sub_(sigma_then.square_()).clamp_(min=0).sqrt_()
        error = normal_like(g, generator).mul_(growth).add_(shift).div_(self._nA_per_uS)
        return error.add_(g).clamp_(min=0)

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        if temperature_C == ROOM_C:
            return g
        residual = normal_like(g, generator).mul_(self.residual_std_per_K)
        residual.add_(self.residual_per_K)
        return residual.mul_(temperature_C - ROOM_C).exp_().mul_(g)

    def read_sigma(self, g: Tensor, wanted: Tensor, t_s: float, /) -> Tensor:
        return _saturating(g * self._nA_per_uS, _READ).div_(self._nA_per_uS)

    @property
    def _nA_per_uS(self) -> float:
        return self.i_max_nA / self.g_max_uS


def _saturating(current: Tensor, a_b: tuple[float, ...]) -> Tensor:
    """A (1 - exp(-I / B))."""
    a, b = a_b
    return (current / -b).expm1_().mul_(-a)


def _between(table: tuple[tuple[float, ...], ...], days: float) -> tuple[float, ...]:
    """The row of a day, or between two days."""
    day = min(int(days), _LAST_DAY - 1)
    share = days - day
    pairs = zip(table[day], table[day + 1], strict=True)
    return tuple((1 - share) * before + share * after for before, after in pairs)
