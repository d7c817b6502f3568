"""Resistive memory: the times that are known, the ranges, and temperature."""

from __future__ import annotations

import pytest
import torch

from afmc.simulator.devices import RramCmo, RramMilo, RramWan2022
from afmc.simulator.devices.base import Device

DAY = 86_400.0


def test_neurram_is_programmed_exactly_and_counts_from_one_second(
    generator: torch.Generator,
) -> None:
    device = RramWan2022()
    wanted = torch.linspace(0, 40, 1000)
    assert torch.equal(device.program(wanted, generator), wanted)
    at_once = device.age(wanted, wanted, 0.0, generator.manual_seed(1))
    assert torch.equal(at_once, device.age(wanted, wanted, 1.0, generator.manual_seed(1)))


def test_an_error_of_neurram_keeps_its_sign(generator: torch.Generator) -> None:
    wanted = torch.linspace(20, 40, 1000, dtype=torch.float64)
    second, day = (
        RramWan2022().age(wanted, wanted, t_s, generator.manual_seed(1)) - wanted
        for t_s in (1.0, DAY)
    )
    assert torch.equal(second.sign(), day.sign())
    assert (day.abs() > second.abs()).all()


def test_the_error_of_neurram_scales_with_the_range(generator: torch.Generator) -> None:
    of_40, of_25 = (
        RramWan2022(g_max_uS).age(wanted, wanted, DAY, generator.manual_seed(1)) / g_max_uS
        for g_max_uS in (40.0, 25.0)
        for wanted in [torch.linspace(0, g_max_uS, 1000, dtype=torch.float64)]
    )
    torch.testing.assert_close(of_40, of_25)


def test_reads_of_neurram_are_as_noisy_in_every_state() -> None:
    g = torch.linspace(0, 40, 10)
    sigma = RramWan2022().read_sigma(g, g, DAY)
    assert sigma is not None
    assert sigma.tolist() == pytest.approx([0.4] * 10)
    assert RramWan2022(read_sigma_relative=0).read_sigma(g, g, DAY) is None


UNKNOWN = [
    (RramWan2022(), 3600.0, "it is known at 1s, 1d and 2d after programming, not at 1h"),
    (RramWan2022(), 0.5, "it is known at 1s, 1d and 2d after programming, not at 0.5s"),
    (RramWan2022(), 7 * DAY, "it is known at 1s, 1d and 2d after programming, not at 7d"),
    (RramMilo(), 1.0, "it is known as programmed, not 1s after programming"),
    (RramMilo(), 30 * DAY, "it is known as programmed, not 30d after programming"),
]


@pytest.mark.parametrize(("device", "t_s", "sentence"), UNKNOWN)
def test_unknown_times_are_refused(
    device: Device, t_s: float, sentence: str, generator: torch.Generator
) -> None:
    g = torch.full((3,), 60.0)
    with pytest.raises(ValueError) as caught:
        device.age(g, g, t_s, generator)
    assert str(caught.value) == sentence


def test_cmo_relaxes_from_one_second_on(generator: torch.Generator) -> None:
    device = RramCmo()
    wanted = torch.linspace(20, 80, 10_000, dtype=torch.float64)
    assert device.age(wanted, wanted, 0.0, generator) is wanted
    early, second = (
        device.age(wanted, wanted, t_s, generator.manual_seed(1)) for t_s in (1e-3, 1.0)
    )
    assert torch.equal(early, second)
    assert float((second - wanted).mean()) == pytest.approx(0, abs=5 * 0.412 / 100)
    assert float((second - wanted).std()) == pytest.approx(0.41183, rel=0.03)


def test_cmo_stays_in_its_range_after_relaxation(generator: torch.Generator) -> None:
    wanted = torch.tensor([9.0, 88.2]).repeat(10_000)
    got = RramCmo().age(wanted, wanted, 30 * DAY, generator)
    assert float(got.min()) == 9
    assert float(got.max()) == pytest.approx(88.2)


def test_cmo_is_as_noisy_to_read_at_once_as_after_a_second() -> None:
    g = torch.tensor([10.0, 100.0], dtype=torch.float64)
    at_once, second = (RramCmo().read_sigma(g, g, t_s) for t_s in (0.0, 1.0))
    assert torch.equal(at_once, second)
    # K sqrt(ln(1 s / 2 us)) for each decade of the conductance in uS
    assert second.tolist() == pytest.approx([0.100456, 0.200913], rel=1e-4)


RRAM = [RramWan2022(), RramCmo(), RramMilo()]


@pytest.mark.parametrize("device", RRAM, ids=repr)
def test_heat(device: Device, generator: torch.Generator) -> None:
    """Metallic at g_max, where 60 degrees more take 1 - exp(-0.09), semiconducting at zero."""
    g_max_uS: float = device.g_max_uS  # type: ignore[attr-defined]
    low, middle, full = (
        device.heat(g, g * x, 85.0, generator)
        for x in (0.0, 0.5, 1.0)
        for g in [torch.full((100_000,), g_max_uS, dtype=torch.float64)]
    )
    for got, change in ((low, 0.09), (middle, 0.0), (full, -0.09)):
        assert float((got / g_max_uS).log().mean()) == pytest.approx(change, abs=5e-4)
        assert float((got / g_max_uS).log().std()) == pytest.approx(0.03, rel=0.02)
