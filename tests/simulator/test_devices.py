"""Noise models against their published statistics, each over 400,000 draws."""

from __future__ import annotations

import pytest
import torch

from afmc.errors import TargetError
from afmc.simulator.devices import AfmScriptPcm, Device, GaussianNoise, HermesPcm, device_of
from afmc.targets import load_target

DRAWS = 400_000


def programmed(device: Device, g_uS: float, generator: torch.Generator) -> torch.Tensor:
    return device.program(torch.full((DRAWS,), g_uS, dtype=torch.float64), generator)


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


@pytest.mark.parametrize(("u", "std_uS"), HERMES_TWO.items())
def test_hermes_two_devices(u: float, std_uS: float, generator: torch.Generator) -> None:
    got = programmed(HermesPcm(2), u * 20.7, generator)
    # A standard deviation over n draws is itself uncertain by 1 / sqrt(2 n): four of these, on
    # both sides, since the published figure was drawn as well.
    assert float(got.std()) == pytest.approx(std_uS, rel=8 / (2 * DRAWS) ** 0.5)
    if u >= 0.3:
        assert float(got.mean()) == pytest.approx(u * 20.7, abs=4 * std_uS / DRAWS**0.5)
    assert float(got.min()) >= 0


# Per cent of g_max = 10.35 uS, one device, from the published cubic.
HERMES_ONE = {0.25: 5.94, 0.5: 8.36, 0.75: 9.42, 1: 9.73}


@pytest.mark.parametrize(("u", "per_cent"), HERMES_ONE.items())
def test_hermes_one_device(u: float, per_cent: float, generator: torch.Generator) -> None:
    got = programmed(HermesPcm(1), u * 10.35, generator)
    assert 100 * float(got.std()) / 10.35 == pytest.approx(per_cent, abs=0.03)


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


def test_gaussian_is_on_the_weight_not_on_each_side(generator: torch.Generator) -> None:
    device = GaussianNoise(0.05)
    weight = programmed(device, 10.0, generator) - programmed(device, 0.0, generator)
    assert float(weight.std()) / 25 == pytest.approx(0.05, rel=0.005)
    assert float(weight.mean()) == pytest.approx(10.0, abs=0.01)


def test_bundled_targets_name_devices_that_exist() -> None:
    assert device_of(load_target("hermes-64")) == HermesPcm(2)
    assert device_of(load_target("afm-512")) == AfmScriptPcm()
    assert device_of(load_target("ideal-512")) is None
    assert device_of(load_target("hermes-64").without_noise()) is None


GAUSSIAN = "afmc.simulator.devices:GaussianNoise"

BAD: list[tuple[dict[str, object], str]] = [
    (
        {"device.noise": "nowhere.at_all:Device"},
        "hermes-64:device.noise names nowhere.at_all:Device, which cannot be imported: "
        "No module named 'nowhere'.",
    ),
    (
        {"device.noise": "afmc.simulator.devices:Hermes"},
        "hermes-64:device.noise names afmc.simulator.devices:Hermes, "
        "but afmc.simulator.devices has no Hermes.",
    ),
    (
        {"device.options.devices": 3},
        "hermes-64:device.noise: HermesPcm refuses its options: devices must be 1 or 2, but is 3.",
    ),
    (
        {"device.noise": GAUSSIAN, "device.options.sigma": -1.0},
        "hermes-64:device.noise: GaussianNoise refuses its options: "
        "sigma must not be negative, but is -1.0.",
    ),
    (
        {"device.options.devices": 1},
        "hermes-64:device.g_max_uS is 20.7 uS, but HermesPcm with these options is a model of "
        "10.35 uS.",
    ),
    (
        {"device.options.devices": 1, "device.g_max_uS": 10.35},
        "hermes-64:device.devices_per_polarity is 2, but HermesPcm with these options is a model "
        "of 1.",
    ),
    (
        {"device.noise": "os:mkdir", "device.options.path": "made-by-a-target"},
        "hermes-64:device.noise names os:mkdir, which is not a class with a method 'program'.",
    ),
    (
        {"device.noise": "fractions:Fraction"},
        "hermes-64:device.noise names fractions:Fraction, which is not a class with a method "
        "'program'.",
    ),
]


@pytest.mark.parametrize(("overrides", "sentence"), BAD)
def test_a_wrong_device_gets_one_sentence(overrides: dict[str, object], sentence: str) -> None:
    with pytest.raises(TargetError) as caught:
        device_of(load_target("hermes-64", overrides))
    assert str(caught.value) == sentence
