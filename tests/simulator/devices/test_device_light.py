"""Photonic cells, whose states are transmissions."""

from __future__ import annotations

from math import pi, sin

import pytest
import torch
from torch import Tensor

from afmc.simulator.devices import MachZehnder, Microring
from afmc.simulator.devices.base import Device

LINE = torch.linspace(0, 1, 1001, dtype=torch.float64).unsqueeze(1)
"""A column, so that no cell has a neighbour along the last dimension."""


def _levels(g: Tensor) -> list[float]:
    return sorted(set(g.flatten().tolist()))


def test_mach_zehnder_quantises_the_phase(generator: torch.Generator) -> None:
    device = MachZehnder(bits=3, phase_sigma_rad=0, crosstalk=0)
    got = device.program(LINE, generator)
    assert _levels(got) == pytest.approx([sin(k * pi / 14) ** 2 for k in range(8)])
    fine = MachZehnder(bits=16, phase_sigma_rad=0, crosstalk=0).program(LINE, generator)
    torch.testing.assert_close(fine, LINE, atol=3e-5, rtol=0)


def test_mach_zehnder_errs_most_where_it_is_steep(generator: torch.Generator) -> None:
    wanted = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64).repeat(1, 100_000).view(-1, 3)
    device = MachZehnder(bits=16, phase_sigma_rad=0.02, crosstalk=0)
    spread = device.program(wanted, generator).std(dim=0)
    # dt / dtheta = sin(theta) / 2 = sqrt(t (1 - t))
    slopes = (wanted[0] * (1 - wanted[0])).sqrt()
    torch.testing.assert_close(spread, 0.02 * slopes, rtol=0.02, atol=0)


def test_heaters_warm_their_neighbours(generator: torch.Generator) -> None:
    wanted = torch.zeros(3, 4, dtype=torch.float64)
    wanted[1, 1] = 1.0  # a phase of pi
    device = MachZehnder(phase_sigma_rad=0, crosstalk=0.05)
    got = device.program(wanted, generator)
    leaked = sin(0.05 * pi / 2) ** 2
    expected = wanted.clone()
    expected[0, 1] = expected[2, 1] = expected[1, 0] = expected[1, 2] = leaked
    torch.testing.assert_close(got, expected)


def test_microring_is_a_lorentzian_of_the_detuning(generator: torch.Generator) -> None:
    device = Microring(bits=16, resonance_sigma_pm=0, spacing_hwhm=1e6)
    got = device.program(LINE, generator)
    torch.testing.assert_close(got, LINE.clamp(min=1 / 101), atol=2e-4, rtol=0)
    coarse = Microring(bits=2, resonance_sigma_pm=0, spacing_hwhm=1e6).program(LINE, generator)
    assert _levels(coarse) == pytest.approx([1 / (1 + (10 * k / 3) ** 2) for k in (3, 2, 1, 0)])


def test_rings_drop_light_of_the_next_channel(generator: torch.Generator) -> None:
    """The ring of a fully dropped channel is on resonance, a spacing from either neighbour's."""
    device = Microring(bits=16, resonance_sigma_pm=0, spacing_hwhm=40)
    wanted = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    got = device.program(wanted, generator)
    floor = 1 / 101
    # The left ring is detuned by 10 half widths towards the middle channel, the right one away.
    expected = [floor + 1 / (1 + 40**2), 1.0, floor + 1 / (1 + 40**2)]
    assert got[0].tolist() == pytest.approx(expected)
    dark = device.program(torch.zeros(1, 3, dtype=torch.float64), generator)[0]
    left, right = 1 / (1 + 30**2), 1 / (1 + 50**2)
    assert dark.tolist() == pytest.approx([floor + right, floor + left + right, floor + left])


def test_a_ring_errs_by_its_resonance(generator: torch.Generator) -> None:
    device = Microring(bits=16, hwhm_pm=50, resonance_sigma_pm=1)
    wanted = torch.full((100_000, 1), 0.5, dtype=torch.float64)  # a detuning of 1: slope 1/2
    assert float(device.program(wanted, generator).std()) == pytest.approx(0.5 / 50, rel=0.02)


def test_heat_detunes_rings(generator: torch.Generator) -> None:
    device = Microring(hwhm_pm=50, residual_pm_per_K=1)
    g = torch.tensor([1.0, 0.5, 0.1, 0.0], dtype=torch.float64)  # detuned by 0, 1, 3, infinity
    warm = device.heat(g, g, 75.0, generator)
    assert warm.tolist() == pytest.approx([1 / 2, 1 / 5, 1 / 17, 0])
    cold = device.heat(g, g, -25.0, generator)
    assert cold.tolist() == pytest.approx([1 / 2, 1, 1 / 5, 0])


@pytest.mark.parametrize("device", [MachZehnder(), Microring()], ids=repr)
def test_light(device: Device, generator: torch.Generator) -> None:
    wanted = torch.rand(64, 64, generator=generator)
    g = device.program(wanted, generator)
    assert 0 <= float(g.min())
    assert float(g.max()) <= 1
    assert device.age(g, wanted, 86_400.0, generator) is g
    assert device.read_sigma(g, wanted, 0.0) is None  # detectors and lasers have it, not cells


@pytest.mark.parametrize("device", [MachZehnder(), Microring()], ids=repr)
def test_conductances_are_refused(device: Device, generator: torch.Generator) -> None:
    with pytest.raises(ValueError) as caught:
        device.program(torch.tensor([0.5, 25.0]), generator)
    name = type(device).__name__
    assert str(caught.value) == f"{name} takes transmissions up to 1, but was given 25"
