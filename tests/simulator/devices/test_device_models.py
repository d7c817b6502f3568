"""What holds for every device model, and the sentences about wrong options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from afmc.simulator import devices
from afmc.simulator.devices import (
    AfmScriptPcm,
    FeFet,
    GaussianNoise,
    HermesPcm,
    MachZehnder,
    Microring,
    PcmPolynomial,
    RelativeGaussian,
    RramCmo,
    RramMilo,
    RramWan2022,
    Sonos,
)
from afmc.simulator.devices.base import Device

DAY = 86_400.0
SIGNED = (AfmScriptPcm, GaussianNoise, RelativeGaussian)
"""Models whose states may become negative."""

MODELS: list[Device] = [
    PcmPolynomial(),
    PcmPolynomial(nu=0.04, nu_std=0.005),
    HermesPcm(1),
    HermesPcm(2),
    AfmScriptPcm(),
    AfmScriptPcm(drift=True),
    RramWan2022(),
    RramCmo(0.2),
    RramCmo(2),
    RramMilo(),
    Sonos(),
    FeFet(),
    MachZehnder(),
    Microring(),
    GaussianNoise(0.05),
    RelativeGaussian(0.05),
]


def _wanted(device: Device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The whole range of a model."""
    low, high = getattr(device, "g_min_uS", 0.0), getattr(device, "g_max_uS", 1.0)
    return torch.linspace(low, high, 60 * 50, dtype=dtype).view(60, 50)


def _states(device: Device, wanted: Tensor, seed: int) -> dict[str, Tensor]:
    """What each method makes of it, with a fresh generator for each."""

    def fresh() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    t_s = 0.0 if isinstance(device, RramMilo) else DAY
    states = {"program": device.program(wanted, fresh())}
    states["age"] = device.age(states["program"], wanted, t_s, fresh())
    states["heat"] = device.heat(states["age"], wanted, 60.0, fresh())
    sigma = device.read_sigma(states["heat"], wanted, t_s)
    return states if sigma is None else {**states, "read_sigma": sigma}


def test_every_model_is_tested() -> None:
    assert {type(device).__name__ for device in MODELS} == set(devices.__all__)


@pytest.mark.parametrize("device", MODELS, ids=repr)
def test_the_same_seed_gives_the_same_states(device: Device) -> None:
    wanted = _wanted(device)
    first, second, other = (_states(device, wanted, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["age"], other["age"])


@pytest.mark.parametrize("device", MODELS, ids=repr)
def test_arguments_are_left_as_they_are(device: Device, generator: torch.Generator) -> None:
    wanted = _wanted(device)
    kept = wanted.clone()
    g = device.program(wanted, generator).clone()
    kept_g = g.clone()
    t_s = 0.0 if isinstance(device, RramMilo) else DAY
    device.age(g, wanted, t_s, generator)
    device.heat(g, wanted, 60.0, generator)
    device.read_sigma(g, wanted, t_s)
    assert torch.equal(wanted, kept)
    assert torch.equal(g, kept_g)


@pytest.mark.parametrize("device", MODELS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_and_shapes_are_kept(device: Device, dtype: torch.dtype) -> None:
    whole = _wanted(device, dtype)
    for wanted in (whole, whole.t(), whole[::7, ::3], whole[0], whole[:1], whole[:0]):
        for name, state in _states(device, wanted, 1).items():
            assert state.dtype == dtype, name
            assert state.shape == wanted.shape, name
            assert torch.isfinite(state).all(), name


@pytest.mark.parametrize("device", MODELS, ids=repr)
def test_what_is_negative(device: Device) -> None:
    wanted = _wanted(device).repeat(20, 1)
    states = _states(device, wanted, 1)
    if "read_sigma" in states:
        assert float(states["read_sigma"].min()) >= 0
    if not isinstance(device, SIGNED):
        assert min(float(state.min()) for state in states.values()) >= 0


@pytest.mark.parametrize("device", MODELS, ids=repr)
def test_room_temperature_is_no_heat(device: Device, generator: torch.Generator) -> None:
    g = _wanted(device)
    assert device.heat(g, g, 25.0, generator) is g


# Physical devices that a model stands for, and the conductance that they hold together.
RANGES = [
    (PcmPolynomial(), 1, 25.0),
    (HermesPcm(1), 1, 10.35),
    (HermesPcm(2), 2, 20.7),
    (AfmScriptPcm(), 2, 25.0),
    (RramWan2022(), 1, 40.0),
    (RramCmo(), 1, 88.2),
    (RramMilo(), 1, 225.0),
    (Sonos(), 1, 16.0),
    (FeFet(), 1, 4.2),
    (GaussianNoise(0.05), 1, 25.0),
]


@pytest.mark.parametrize(("device", "count", "g_max_uS"), RANGES)
def test_what_a_model_stands_for(device: Any, count: int, g_max_uS: float) -> None:
    assert (device.devices, device.g_max_uS) == (count, g_max_uS)


@pytest.mark.parametrize("device", [MachZehnder(), Microring(), RelativeGaussian(0.05)], ids=repr)
def test_models_of_no_conductance_have_no_largest(device: Device) -> None:
    assert device.devices == 1
    assert not hasattr(device, "g_max_uS")


def test_gaussian_is_on_the_weight_not_on_each_side(generator: torch.Generator) -> None:
    device = GaussianNoise(0.05)
    plus, minus = (
        device.program(torch.full((400_000,), g_uS, dtype=torch.float64), generator)
        for g_uS in (10.0, 0.0)
    )
    weight = plus - minus
    assert float(weight.std()) / 25 == pytest.approx(0.05, rel=0.005)
    assert float(weight.mean()) == pytest.approx(10.0, abs=0.01)


def test_gaussian_says_of_what_it_is(generator: torch.Generator) -> None:
    """0.03 of a weight's full scale is 2.1 % of g_max for a side, or 3 % where it is a device's."""
    state = torch.full((400_000,), 10.0, dtype=torch.float64)
    for of, share in (("weight", 0.0212), ("device", 0.03)):
        device = GaussianNoise(0.03, of=of, sigma_read=0.01)
        assert float(device.program(state, generator).std()) / 25 == pytest.approx(share, rel=0.01)
        sigma = device.read_sigma(state, state, 0.0)
        assert sigma is not None and float(sigma[0]) / 25 == pytest.approx(share / 3, rel=0.01)
    assert GaussianNoise(0.03).read_sigma(state, state, 0.0) is None
    with pytest.raises(ValueError, match="of must be 'weight' or 'device', but is 'cell'"):
        GaussianNoise(0.03, of="cell")


def test_relative_gaussian_is_in_proportion(generator: torch.Generator) -> None:
    device = RelativeGaussian(0.1)
    for g in (0.0, 0.5, 20.0):
        got = device.program(torch.full((100_000,), g, dtype=torch.float64), generator)
        assert float(got.std()) == pytest.approx(0.1 * g, rel=0.02)


BAD: list[tuple[type[Any], dict[str, Any], str]] = [
    (PcmPolynomial, {"g_max_uS": 0.0}, "g_max_uS must be greater than 0, but is 0.0"),
    (PcmPolynomial, {"nu": -0.1}, "nu must not be negative, but is -0.1"),
    (PcmPolynomial, {"nu": 0.04, "nu_std": -1.0}, "nu_std must not be negative, but is -1.0"),
    (PcmPolynomial, {"nu_std": 0.01}, "nu_std is 0.01, but nu, whose spread it is, is not given"),
    (PcmPolynomial, {"activation_eV": -1}, "activation_eV must not be negative, but is -1"),
    (HermesPcm, {"devices": 3}, "devices must be 1 or 2, but is 3"),
    (
        HermesPcm,
        {"activation_std_eV": float("nan")},
        "activation_std_eV must not be negative, but is nan",
    ),
    (AfmScriptPcm, {"g_max_uS": -1.0}, "g_max_uS must be greater than 0, but is -1.0"),
    (RramWan2022, {"g_max_uS": 0}, "g_max_uS must be greater than 0, but is 0"),
    (
        RramWan2022,
        {"read_sigma_relative": -0.01},
        "read_sigma_relative must not be negative, but is -0.01",
    ),
    (RramWan2022, {"tcr_per_K": -1e-3}, "tcr_per_K must not be negative, but is -0.001"),
    (RramWan2022, {"tcr_std_per_K": -1e-3}, "tcr_std_per_K must not be negative, but is -0.001"),
    (RramCmo, {"acceptance_percent": 0.02}, "acceptance_percent must be 0.2 or 2, but is 0.02"),
    (
        RramMilo,
        {"g_max_uS": 300.0},
        "g_max_uS must be greater than 50 and at most 225, but is 300.0",
    ),
    (Sonos, {"g_max_uS": 0.0}, "g_max_uS must be greater than 0, but is 0.0"),
    (
        Sonos,
        {"i_max_nA": 4000.0},
        "i_max_nA must be greater than 0 and at most 3200, but is 4000.0",
    ),
    (Sonos, {"residual_std_per_K": -1.0}, "residual_std_per_K must not be negative, but is -1.0"),
    (FeFet, {"g_max_uS": 0.0}, "g_max_uS must be greater than 0, but is 0.0"),
    (FeFet, {"sigma_relative": -0.1}, "sigma_relative must not be negative, but is -0.1"),
    (FeFet, {"loss_per_decade": -0.1}, "loss_per_decade must not be negative, but is -0.1"),
    (MachZehnder, {"bits": 0}, "bits must be a whole number from 1 to 16, but is 0"),
    (MachZehnder, {"bits": 7.5}, "bits must be a whole number from 1 to 16, but is 7.5"),
    (MachZehnder, {"phase_sigma_rad": -1.0}, "phase_sigma_rad must not be negative, but is -1.0"),
    (MachZehnder, {"crosstalk": -0.1}, "crosstalk must not be negative, but is -0.1"),
    (Microring, {"bits": 17}, "bits must be a whole number from 1 to 16, but is 17"),
    (Microring, {"hwhm_pm": 0.0}, "hwhm_pm must be greater than 0, but is 0.0"),
    (
        Microring,
        {"spacing_hwhm": 10.0},
        "spacing_hwhm must be greater than detuning_hwhm, 10.0, but is 10.0",
    ),
    (
        Microring,
        {"resonance_sigma_pm": -1.0},
        "resonance_sigma_pm must not be negative, but is -1.0",
    ),
    (
        Microring,
        {"residual_pm_per_K": -1.0},
        "residual_pm_per_K must not be negative, but is -1.0",
    ),
    (GaussianNoise, {"sigma": -1.0}, "sigma must not be negative, but is -1.0"),
    (GaussianNoise, {"sigma": 0.1, "g_max_uS": 0}, "g_max_uS must be greater than 0, but is 0"),
    (RelativeGaussian, {"sigma": -1.0}, "sigma must not be negative, but is -1.0"),
]


@pytest.mark.parametrize(("model", "options", "sentence"), BAD)
def test_wrong_options_get_one_sentence(
    model: type[Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        model(**options)
    assert str(caught.value) == sentence
