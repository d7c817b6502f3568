"""Transistors that store charge or polarisation: SONOS and ferroelectric cells."""

from __future__ import annotations

import pytest
import torch

from afmc.simulator.devices import FeFet, Sonos

DAY = 86_400.0

# Shift of the mean in nA by the current in nA, from CrossSim's polynomials.
SHIFT = {(1, 800): -3.827, (1, 1600): -11.532, (5, 800): -15.173, (5, 1600): -40.698}


@pytest.mark.parametrize(("case", "shift_nA"), SHIFT.items())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sonos_shifts(
    case: tuple[int, int], shift_nA: float, dtype: torch.dtype, generator: torch.Generator
) -> None:
    days, current_nA = case
    wanted = torch.full((200_000,), current_nA / 100, dtype=dtype)
    got = Sonos().age(wanted, wanted, days * DAY, generator)
    growth_nA = 30.0  # at most: what the spread grows by
    error = 4 * growth_nA / 200_000**0.5
    assert 100 * float((got - wanted).mean()) == pytest.approx(shift_nA, abs=error)


def test_a_sonos_cell_keeps_its_error(generator: torch.Generator) -> None:
    device = Sonos()
    wanted = torch.full((10_000,), 8.0, dtype=torch.float64)
    g = device.program(wanted, generator)
    aged = device.age(g, wanted, DAY, generator)
    together = torch.corrcoef(torch.stack([g, aged]))[0, 1]
    assert float(together) == pytest.approx(float(g.std() / aged.std()), abs=0.02)


def test_between_days_sonos_interpolates(generator: torch.Generator) -> None:
    wanted = torch.linspace(0, 16, 1000, dtype=torch.float64)
    one, middle, two = (
        Sonos().age(wanted, wanted, days * DAY, generator.manual_seed(1)) for days in (2, 2.5, 3)
    )
    torch.testing.assert_close(middle, (one + two) / 2, atol=0.02, rtol=0)


def test_sonos_reads_are_relative_to_the_current() -> None:
    """Two descriptions of the same cells: half the current at the same conductance."""
    g = torch.linspace(0, 16, 10, dtype=torch.float64)
    full, half = Sonos().read_sigma(g, g, 0.0), Sonos(i_max_nA=800.0).read_sigma(g, g, 0.0)
    assert float(full[-1]) == pytest.approx(0.12573, rel=1e-3)
    assert float(half[-1]) == pytest.approx(0.24547, rel=1e-3)


UNKNOWN = [
    (Sonos(), 6 * DAY, "it is known up to 5d after programming, not at 6d"),
    (Sonos(), 5.5 * DAY, "it is known up to 5d after programming, not at 132h"),
    (
        Sonos(32.0, i_max_nA=3200.0),
        DAY,
        "it is known after programming below 1800 nA, but i_max_nA is 3200",
    ),
]


@pytest.mark.parametrize(("device", "t_s", "sentence"), UNKNOWN)
def test_unknown_times_are_refused(
    device: Sonos, t_s: float, sentence: str, generator: torch.Generator
) -> None:
    g = torch.full((3,), 5.0)
    with pytest.raises(ValueError) as caught:
        device.age(g, g, t_s, generator)
    assert str(caught.value) == sentence
    assert device.age(g, g, 0.0, generator) is g


def test_sonos_is_compensated_but_for_a_residue(generator: torch.Generator) -> None:
    g = torch.full((100_000,), 8.0, dtype=torch.float64)
    got = (Sonos().heat(g, g, 45.0, generator) / g).log()
    assert float(got.mean()) == pytest.approx(0.02, abs=1e-4)
    assert float(got.std()) == pytest.approx(0.004, rel=0.02)


def test_fefet_loses_the_same_share_in_each_decade(generator: torch.Generator) -> None:
    device = FeFet(loss_per_decade=0.02)
    g = torch.tensor([4.2], dtype=torch.float64)
    assert device.age(g, g, 0.0, generator) is g
    assert device.age(g, g, 1.0, generator) is g
    kept = [float(device.age(g, g, t_s, generator)) / 4.2 for t_s in (10.0, 100.0, 1e5)]
    assert kept == pytest.approx([0.98, 0.96, 0.90])
    assert float(FeFet(loss_per_decade=0.5).age(g, g, 1e3, generator)) == 0


def test_fefet_is_as_wrong_in_every_state(generator: torch.Generator) -> None:
    for g_uS in (1.0, 4.2):
        got = FeFet().program(torch.full((100_000,), g_uS, dtype=torch.float64), generator)
        assert float(got.mean()) == pytest.approx(g_uS, abs=0.003)
        assert float(got.std()) == pytest.approx(0.05 * 4.2, rel=0.01)
