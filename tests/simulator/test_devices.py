"""From a target to its device model."""

from __future__ import annotations

import pytest

from afmc.errors import TargetError
from afmc.simulator.devices import AfmScriptPcm, HermesPcm
from afmc.simulator.devices.base import device_of, list_devices
from afmc.targets import load_target


def test_bundled_targets_name_devices_that_exist() -> None:
    assert device_of(load_target("hermes-64")) == HermesPcm(2)
    assert device_of(load_target("afm-512-projected")) == AfmScriptPcm()
    assert device_of(load_target("ideal-512")) is None
    assert device_of(load_target("hermes-64").without_noise()) is None


GAUSSIAN = "gaussian"

BAD: list[tuple[dict[str, object], str]] = [
    (
        {"device.noise": "nowhere.at_all:Device"},
        "hermes-64:device.noise names nowhere.at_all:Device, which cannot be imported: "
        "No module named 'nowhere'.",
    ),
    (
        {"device.noise": "afmc.simulator.devices.base:Hermes"},
        "hermes-64:device.noise names afmc.simulator.devices.base:Hermes, "
        "but afmc.simulator.devices.base has no Hermes.",
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
        {"device.noise": "pcm-herms"},
        f"hermes-64:device.noise names 'pcm-herms', which is neither 'package.module:Class' nor "
        f"one of {', '.join(sorted(list_devices()))}. Did you mean 'pcm-hermes'?",
    ),
    (
        {"device.options.devices": 1, "device.g_max_uS": 10.35},
        "hermes-64:device.g_max_uS is 10.35 uS, of which each cell has 5.175 uS, but HermesPcm "
        "with these options is a model of 10.35 uS.",
    ),
    (
        {"device.g_max_uS": 10.35},
        "hermes-64:device.g_max_uS is 10.35 uS, but HermesPcm with these options is a model of "
        "20.7 uS.",
    ),
    (
        {"device.devices_per_polarity": 3},
        "hermes-64:device.devices_per_polarity is 3, but HermesPcm with these options is a model "
        "of 2.",
    ),
    (
        {"device.noise": "rram-cmo", "device.g_max_uS": 88.2, "device.devices_per_polarity": 1},
        "hermes-64:device.g_min_uS is 0 uS, but RramCmo with these options is a model of 9 uS or "
        "more.",
    ),
    (
        {"device.noise": "device_plug_ins:NotDerived"},
        "hermes-64:device.noise names device_plug_ins:NotDerived, which has no method 'age': "
        "derive it from afmc.Device, which brings the rest.",
    ),
    (
        {"device.noise": "device_plug_ins_broken:Device"},
        "hermes-64:device.noise names device_plug_ins_broken:Device, whose module failed: "
        "ZeroDivisionError('division by zero').",
    ),
    (
        {"device.noise": "device_plug_ins:RaisesWhenMade"},
        "hermes-64:device.noise: RaisesWhenMade failed: KeyError('no such chip').",
    ),
    (
        {"device.noise": "device_plug_ins:NoDevices"},
        "hermes-64:device.noise: devices of NoDevices must be a whole number above 0, but is 0.",
    ),
    (
        {"device.noise": "device_plug_ins:RangeInWords"},
        "hermes-64:device.noise: g_max_uS of RangeInWords must be a number above 0, but is '20'.",
    ),
    (
        {"device.noise": "device_plug_ins:RangeRaises"},
        "hermes-64:device.noise: g_max_uS of RangeRaises failed: LookupError('no data sheet').",
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
