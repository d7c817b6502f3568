"""Phase-change memory: golden figures, drift, read noise and temperature."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from afmc.simulator.devices import AfmScriptPcm, HermesPcm, PcmPolynomial
from afmc.simulator.devices.base import Device

DRAWS = 400_000
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365 * 86_400.0


def cells(g_uS: float) -> Tensor:
    return torch.full((DRAWS,), g_uS, dtype=torch.float64)


def programmed(device: Device, g_uS: float, generator: torch.Generator) -> Tensor:
    return device.program(cells(g_uS), generator)


def read(device: Device, g_uS: float, t_s: float, generator: torch.Generator) -> Tensor:
    """One read of aged cells."""
    wanted = cells(g_uS)
    g = device.age(device.program(wanted, generator), wanted, t_s, generator)
    sigma = device.read_sigma(g, wanted, t_s)
    assert sigma is not None
    return g + sigma * torch.empty_like(g).normal_(generator=generator)


# Standard deviation of programmed conductance in uS that AIHWKIT's HermesNoiseModel gives with two
# devices, by conductance relative to g_max = 20.7 uS. At 0 negative conductances are cut off.
HERMES_TWO = {
    0: 0.0969,
    0.05: 0.3800,
    0.1: 0.5579,
    0.3: 0.9462,
    0.5: 0.9909,
    0.8: 0.9128,
    1: 1.0925,
}
# The same for its PCMLikeNoiseModel, g_max = 25 uS.
POLYNOMIAL = {
    0: 0.1536,
    0.05: 0.3591,
    0.1: 0.4478,
    0.3: 0.7475,
    0.5: 0.9516,
    0.8: 1.0838,
    1: 1.0571,
}

PROGRAMMED = [
    *((HermesPcm(2), 20.7, u, std) for u, std in HERMES_TWO.items()),
    *((PcmPolynomial(), 25.0, u, std) for u, std in POLYNOMIAL.items()),
]


@pytest.mark.parametrize(("device", "g_max_uS", "u", "std_uS"), PROGRAMMED)
def test_programmed_as_in_aihwkit(
    device: Device, g_max_uS: float, u: float, std_uS: float, generator: torch.Generator
) -> None:
    got = programmed(device, u * g_max_uS, generator)
    # A standard deviation over n draws is itself uncertain by 1 / sqrt(2 n): four of these, on
    # both sides, since the published figure was drawn as well.
    assert float(got.std()) == pytest.approx(std_uS, rel=8 / (2 * DRAWS) ** 0.5)
    if u >= 0.3:
        assert float(got.mean()) == pytest.approx(u * g_max_uS, abs=4 * std_uS / DRAWS**0.5)
    assert float(got.min()) >= 0


# Per cent of g_max = 10.35 uS, one device, from the published cubic.
HERMES_ONE = {0.25: 5.94, 0.5: 8.36, 0.75: 9.42, 1: 9.73}


@pytest.mark.parametrize(("u", "per_cent"), HERMES_ONE.items())
def test_hermes_one_device(u: float, per_cent: float, generator: torch.Generator) -> None:
    got = programmed(HermesPcm(1), u * 10.35, generator)
    assert 100 * float(got.std()) / 10.35 == pytest.approx(per_cent, abs=0.03)


# Mean and standard deviation in uS of what AIHWKIT reads, by u and time.
AGED = [
    (PcmPolynomial(), 25.0, 1.0, DAY, 16.626, 1.516),
    (PcmPolynomial(), 25.0, 0.5, DAY, 8.314, 1.0285),
    (PcmPolynomial(), 25.0, 1.0, YEAR, 12.507, 1.651),
    (HermesPcm(2), 20.7, 1.0, DAY, 18.761, 1.603),
    (HermesPcm(2), 20.7, 0.5, DAY, 7.530, 1.034),
]


@pytest.mark.parametrize(("device", "g_max_uS", "u", "t_s", "mean_uS", "std_uS"), AGED)
def test_aged_and_read_as_in_aihwkit(
    device: Device,
    g_max_uS: float,
    u: float,
    t_s: float,
    mean_uS: float,
    std_uS: float,
    generator: torch.Generator,
) -> None:
    got = read(device, u * g_max_uS, t_s, generator)
    assert float(got.mean()) == pytest.approx(mean_uS, abs=8 * std_uS / DRAWS**0.5)
    assert float(got.std()) == pytest.approx(std_uS, rel=8 / (2 * DRAWS) ** 0.5)


# Mean and spread of the drift exponent, and Q, by u: computed in NumPy from AIHWKIT's formulas.
OF_POLYNOMIAL = {
    0: (0.1, 0.045, 0.2), 0.001: (0.1, 0.045, 0.2), 0.01: (0.0957801, 0.045, 0.175583),
    0.06: (0.0680079, 0.0292676, 0.0547879), 0.09: (0.0617232, 0.0241993, 0.0420945),
    0.12: (0.0572641, 0.0206033, 0.0349152), 0.158: (0.053, 0.0171645, 0.0291982),
    0.1595: (0.0528535, 0.0170464, 0.0290194), 0.2: (0.0493463, 0.014218, 0.0250503),
    0.29: (0.049, 0.00957343, 0.0196754), 0.3045: (0.049, 0.00896355, 0.0190612),
    0.31: (0.049, 0.00873979, 0.0188407), 0.6: (0.049, 0.008, 0.0122655),
    1: (0.049, 0.008, 0.0088),
}  # fmt: skip
OF_HERMES_ONE = {
    0: (0.13, 0.04, 0.04), 0.001: (0.13, 0.04, 0.04), 0.01: (0.13, 0.04, 0.0397203),
    0.06: (0.090679, 0.0314609, 0.0257446), 0.09: (0.0749875, 0.0265953, 0.022582),
    0.12: (0.0714602, 0.0231432, 0.0203381), 0.158: (0.0705208, 0.0198419, 0.0181922),
    0.1595: (0.0704811, 0.0197285, 0.0178795), 0.2: (0.069336, 0.0170133, 0.0192832),
    0.29: (0.0662792, 0.0125545, 0.0213211), 0.3045: (0.0657207, 0.0124023, 0.0215245),
    0.31: (0.065504, 0.0124103, 0.0215934), 0.6: (0.050344, 0.01142, 0.0205504),
    1: (0.0174, 0.0055, 0.0168),
}  # fmt: skip
OF_HERMES_TWO = {
    0: (0.13, 0.04, 0.04), 0.001: (0.13, 0.04, 0.04), 0.01: (0.13, 0.04, 0.04),
    0.06: (0.090679, 0.0272169, 0.0260169), 0.09: (0.0749875, 0.022473, 0.021273),
    0.12: (0.0714602, 0.0191071, 0.0179071), 0.158: (0.0705208, 0.0158884, 0.015),
    0.1595: (0.0704811, 0.0157778, 0.015), 0.2: (0.069336, 0.0131304, 0.0154552),
    0.29: (0.0662792, 0.0091, 0.0162325), 0.3045: (0.0657207, 0.0091, 0.0163236),
    0.31: (0.065504, 0.00904902, 0.0163558), 0.6: (0.050344, 0.008632, 0.0163704),
    1: (0.0174, 0.0048, 0.0123),
}  # fmt: skip

FITS = [
    pytest.param(device, t0_s, t_read_s, u, *expected, id=f"{device!r}-{u}")
    for device, t0_s, t_read_s, table in (
        (PcmPolynomial(), 20.0, 250e-9, OF_POLYNOMIAL),
        (HermesPcm(1), 200.0, 512e-9, OF_HERMES_ONE),
        (HermesPcm(2), 300.0, 512e-9, OF_HERMES_TWO),
    )
    for u, expected in table.items()
]


@pytest.mark.parametrize(("device", "t0_s", "t_read_s", "u", "nu_mean", "nu_std", "q"), FITS)
def test_fits_to_the_state(
    device: PcmPolynomial | HermesPcm,
    t0_s: float,
    t_read_s: float,
    u: float,
    nu_mean: float,
    nu_std: float,
    q: float,
    generator: torch.Generator,
) -> None:
    """With the normal numbers that the device draws, drift and read noise follow exactly."""
    g = torch.full((1000,), 5.0, dtype=torch.float64)
    wanted = torch.full_like(g, u * device.g_max_uS)
    got = device.age(g, wanted, DAY, generator.manual_seed(1))
    normal = torch.empty_like(g).normal_(generator=generator.manual_seed(1))
    t_s = DAY + t0_s
    expected = 5.0 * (t_s / t0_s) ** -(nu_mean + nu_std * normal).abs()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=0)
    sigma = device.read_sigma(g, wanted, DAY)
    of_reads = 5.0 * q * log((t_s + t_read_s) / (2 * t_read_s)) ** 0.5
    assert float(sigma[0]) == pytest.approx(of_reads, rel=1e-5)


def test_errors_of_the_polynomial_scale_with_the_range(generator: torch.Generator) -> None:
    of_25, of_50 = (
        device.program(cells(device.g_max_uS / 2), generator.manual_seed(1)) / device.g_max_uS
        for device in (PcmPolynomial(), PcmPolynomial(50.0))
    )
    torch.testing.assert_close(of_25, of_50)


# Per cent of the largest weight, sampled from the paper's own script.
AFM = {
    0.0034: 1.51, 0.01: 1.65, 0.05: 2.40, 0.1: 3.10, 0.2: 4.00, 0.2916: 4.65, 0.3: 4.66,
    0.5: 4.69, 0.7: 5.10, 0.8: 6.06, 0.9: 7.83, 1.0: 10.67,
}  # fmt: skip


@pytest.mark.parametrize(("share", "per_cent"), AFM.items())
@pytest.mark.parametrize("g_max_uS", [25.0, 180.0])
def test_afm_script(
    share: float, per_cent: float, g_max_uS: float, generator: torch.Generator
) -> None:
    got = programmed(AfmScriptPcm(g_max_uS), share * g_max_uS, generator)
    # two decimals, and the script rounds to half precision
    assert 100 * float(got.std()) / g_max_uS == pytest.approx(per_cent, abs=0.02)
    assert float(got.mean()) / g_max_uS == pytest.approx(share, abs=4 * per_cent / 100 / DRAWS**0.5)


def test_afm_script_erases_small_weights(generator: torch.Generator) -> None:
    device = AfmScriptPcm()
    assert programmed(device, 0.59 * 25 / 180, generator).abs().max() == 0
    assert programmed(device, 0.61 * 25 / 180, generator).std() > 0


def test_afm_script_drifts_as_aihwkit_if_asked(generator: torch.Generator) -> None:
    device, aihwkit = AfmScriptPcm(20.0, drift=True), PcmPolynomial(20.0)
    wanted = torch.linspace(0, 20, 1000)
    g = device.program(wanted, generator)
    aged = device.age(g, wanted, DAY, generator.manual_seed(1))
    sigma = device.read_sigma(aged, wanted, DAY)
    assert torch.equal(aged, aihwkit.age(g, wanted, DAY, generator.manual_seed(1)))
    assert sigma is not None
    assert torch.equal(sigma, aihwkit.read_sigma(aged, wanted, DAY))
    # states below zero are noisy to read as well
    assert (aged < 0).any()
    assert (sigma[aged < 0] > 0).all()


def test_afm_script_does_not_drift_by_itself(generator: torch.Generator) -> None:
    g = cells(10.0)
    assert AfmScriptPcm().age(g, g, DAY, generator) is g
    assert AfmScriptPcm().read_sigma(g, g, DAY) is None


PCM = [PcmPolynomial(), PcmPolynomial(10.0), HermesPcm(1), HermesPcm(2), AfmScriptPcm(drift=True)]


@pytest.mark.parametrize("device", PCM, ids=repr)
def test_older_is_never_larger_on_average(device: Device, generator: torch.Generator) -> None:
    g_max_uS: float = device.g_max_uS  # type: ignore[attr-defined]
    wanted = torch.linspace(0, g_max_uS, 11, dtype=torch.float64).unsqueeze(1).repeat(1, 10_000)
    before = wanted
    for t_s in (0.0, 1.0, 60.0, HOUR, DAY, 30 * DAY, YEAR, 10 * YEAR):
        generator.manual_seed(1)
        after = device.age(wanted, wanted, t_s, generator)
        assert (after.mean(dim=1) <= before.mean(dim=1)).all(), f"after {t_s} s"
        # an exponent is drawn once, so it holds for each cell too
        assert (after <= before).all()
        before = after


@pytest.mark.parametrize("device", PCM, ids=repr)
def test_reads_get_noisier_with_time(device: Device) -> None:
    g = torch.linspace(0.1, 10, 100)
    before = torch.zeros_like(g)
    for t_s in (0.0, HOUR, DAY):
        after = device.read_sigma(g, g, t_s)
        assert after is not None
        assert (before < after).all()
        before = after


def test_a_given_exponent_holds_for_every_state(generator: torch.Generator) -> None:
    device = PcmPolynomial(nu=0.04)
    wanted = torch.linspace(0, 25, 100, dtype=torch.float64)
    got = device.age(wanted, wanted, DAY, generator)
    torch.testing.assert_close(got, wanted * ((DAY + 20) / 20) ** -0.04)
    spread = PcmPolynomial(nu=0.04, nu_std=0.01).age(cells(1), cells(1), DAY, generator)
    nu = -spread.log() / torch.tensor((DAY + 20) / 20).log()
    assert float(nu.mean()) == pytest.approx(0.04, abs=1e-4)
    assert float(nu.std()) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("device", PCM, ids=repr)
@pytest.mark.parametrize("temperature_C", [0.0, 60.0, 85.0, 125.0])
def test_heat_leaves_full_states_and_the_order_of_states(
    device: Device, temperature_C: float, generator: torch.Generator
) -> None:
    g_max_uS: float = device.g_max_uS  # type: ignore[attr-defined]
    wanted = torch.linspace(0, g_max_uS, 101, dtype=torch.float64).unsqueeze(1).repeat(1, 1000)
    got = device.heat(wanted, wanted, temperature_C, generator)
    torch.testing.assert_close(got[-1], wanted[-1])
    assert float(got.max()) <= g_max_uS * (1 + 1e-12)
    assert (got.mean(dim=1).diff() > 0).all()
    middle = slice(1, -1)
    warmer = got[middle].mean(dim=1) > wanted[middle, 0]
    assert warmer.all() if temperature_C > 25 else not warmer.any()


def test_near_room_temperature_heat_is_an_exponential(generator: torch.Generator) -> None:
    """With the activation energy Ea (1 - x)."""
    device = PcmPolynomial(activation_eV=0.2, activation_std_eV=0.0)
    wanted = torch.linspace(0.5, 25, 50, dtype=torch.float64)
    got = device.heat(wanted, wanted, 26.0, generator)
    per_kelvin = 1 / (8.617333e-5 * 298.15**2)
    exponent = 0.2 * (1 - wanted / 25) * per_kelvin
    torch.testing.assert_close((got / wanted).log(), exponent, rtol=0.05, atol=1e-12)


def test_heat_differs_from_cell_to_cell(generator: torch.Generator) -> None:
    g = cells(5.0)
    assert PcmPolynomial().heat(g, g, 60.0, generator).std() > 0
    assert PcmPolynomial(activation_std_eV=0).heat(g, g, 60.0, generator).std() < 1e-12
