"""The hardware that comes with afmc: its files load, and say truthfully where figures come from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import afmc.targets
from afmc.errors import TargetError
from afmc.simulator.devices.base import device_of
from afmc.targets import (
    Baseline,
    Target,
    list_targets,
    load_description,
    load_target,
    target_schema,
)
from afmc.targets.document import page
from afmc.targets.units import unit_of

FOLDER = Path(afmc.targets.__file__).parent
FILES = {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}
RAW: dict[str, dict[str, Any]] = {
    name: tomllib.loads(file.read_text("utf-8")) for name, file in FILES.items()
}
DIGITAL = ["h100", "int8-dimc"]
ANALOG = [name for name in FILES if name not in DIGITAL]
MODES = [f"{name}:{mode}" for name in ANALOG for mode in RAW[name].get("modes", {})]
ASSUMED = (
    "Nobody's figure: ",
    "Not of this hardware: ",
    "A reference, not hardware",
    "Unverified: ",
)


def bundled(name: str) -> Target:
    """By its file: what is installed may be older."""
    stem, _, mode = name.partition(":")
    return load_target(f"{FILES[stem]}:{mode}" if mode else FILES[stem])


def given(table: dict[str, Any]) -> set[str]:
    return table.keys() - {"source", "basis", "note", "origin", "omit"}


def test_they_are_the_ones_that_are_offered() -> None:
    assert set(list_targets()) >= FILES.keys()
    assert len(FILES) == 14


@pytest.mark.parametrize("name", FILES)
def test_a_file_loads_and_satisfies_the_json_schema(name: str) -> None:
    assert load_description(FILES[name]).name == name
    jsonschema.validate(RAW[name], target_schema())


@pytest.mark.parametrize("name", MODES)
def test_a_mode_loads_and_changes_something(name: str) -> None:
    stem, _, mode = name.partition(":")
    before, after = bundled(stem), bundled(name)
    assert (after.name, after.mode) == (stem, mode)
    assert after.figures() != before.figures()


@pytest.mark.parametrize("name", [*FILES, *MODES])
def test_every_figure_has_an_origin(name: str) -> None:
    stem, _, mode = name.partition(":")
    described = bundled(name) if mode else load_description(FILES[stem])
    figures = {key: origin for key, _, origin in described.figures()}
    assert all(len(origin.source) > 10 for origin in figures.values())
    raw = RAW[stem]["modes"][mode] if mode else RAW[stem]
    keys = {
        f"{table}.{key}"
        for table, content in raw.items()
        if isinstance(content, dict) and table != "modes"
        for key in given(content)
    }
    assert keys - {"device.options"} <= figures.keys()


def origins(raw: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Everything that has a source and a basis, in a file or a mode of it."""
    found = []
    for name, table in raw.items():
        if name == "modes":
            for mode, content in table.items():
                found += [(f"{mode}.{key}", each) for key, each in origins(content)]
        elif isinstance(table, dict):
            found.append((name, table))
            found += [(f"{name}.{key}", each) for key, each in table.get("origin", {}).items()]
    return found


@pytest.mark.parametrize("name", FILES)
def test_what_is_assumed_says_so_and_nothing_else_does(name: str) -> None:
    for key, origin in origins(RAW[name]):
        says_so = origin["source"].startswith(ASSUMED)
        assert says_so == (origin["basis"] == "assumed"), f"{key}: {origin['source']}"


@pytest.mark.parametrize("name", [*FILES, *MODES])
def test_what_is_derived_is_calculated_in_front_of_the_reader(name: str) -> None:
    described = bundled(name) if name in MODES else load_description(FILES[name])
    for key, value, origin in described.figures():
        if origin.basis == "derived" and value and unit_of(key):
            signs = (" / ", " x ", " + ")
            assert any(sign in origin.source for sign in signs), f"{key}: {origin.source}"


@pytest.mark.parametrize("name", [*ANALOG, *MODES])
def test_the_device_model_takes_the_options_and_the_range(name: str) -> None:
    target = bundled(name)
    assert (device_of(target) is None) == (target.device.noise is None)


@pytest.mark.parametrize("name", DIGITAL)
def test_nothing_is_compiled_to_a_baseline(name: str) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(FILES[name])
    assert str(caught.value) == (
        f"{name} is digital: the cost model compares with it, but no model is compiled to it; "
        f"choose an analog target (afmc targets list)."
    )


# What the sources say, from the figures in the files.


def tile_tops(target: Target) -> float:
    assert target.tile.read_latency_ns is not None
    return 2 * target.crossbar.rows * target.crossbar.columns / target.tile.read_latency_ns / 1e3


def tops(target: Target) -> float:
    return target.chip.tiles * tile_tops(target)


def tops_per_watt(target: Target) -> float:
    assert target.tile.read_energy_nJ is not None
    return 2 * target.crossbar.rows * target.crossbar.columns / target.tile.read_energy_nJ / 1e3


def tops_per_mm2(target: Target) -> float:
    assert target.tile.area_mm2 is not None
    return tile_tops(target) / target.tile.area_mm2


@pytest.mark.parametrize(
    ("name", "chip", "efficiency", "density"),
    [
        ("hermes-64", 63.1, 9.76, 1.55),
        ("hermes-64:four-phase", 16.1, 2.48, 0.40),
        ("pcm-34", None, 20.0, None),
        ("afm-512-projected", None, 100, 10.9),
        ("afm-512-measured", None, 20.0, None),
        ("moe-3d", None, 52.4, 5.24),
        ("neurram-48", 0.264, 6.44, None),
        ("neurram-48:out9-in7", 0.344, 7.75, None),
        ("neurram-48:out8-in6", 0.418, 8.26, None),
        ("neurram-48:out7-in5", 0.525, 11.0, None),
        ("neurram-48:out6-in4", 0.744, 16.0, None),
        ("neurram-48:out5-in3", 1.17, 23.1, None),
        ("neurram-48:out4-in2", 1.79, 40.3, None),
        ("neurram-48:out3-in1", 2.12, 43.1, None),
        ("mythic-m1076", 25, 25 / 3, None),
        ("photonic-pace-64", 8.19, 2.38, None),
        ("photonic-mzi-128", 65.5, 65.5 / 79.6, 0.047),
    ],
)
def test_throughput_efficiency_and_density(
    name: str, chip: float | None, efficiency: float, density: float | None
) -> None:
    target = bundled(name)
    if chip is not None:
        assert tops(target) == pytest.approx(chip, rel=5e-3)
    assert tops_per_watt(target) == pytest.approx(efficiency, rel=5e-3)
    if density is not None:
        assert tops_per_mm2(target) == pytest.approx(density, rel=1e-2)


@pytest.mark.parametrize("name", [*ANALOG, *MODES])
def test_the_power_of_a_chip_is_that_of_its_products(name: str) -> None:
    target = bundled(name)
    if target.chip.power_W is not None:
        assert target.chip.power_W == pytest.approx(tops(target) / tops_per_watt(target), rel=5e-3)


def test_hermes() -> None:
    target = bundled("hermes-64")
    assert (target.crossbar.rows, target.crossbar.columns, target.chip.tiles) == (256, 256, 64)
    assert target.tile.read_energy_nJ == pytest.approx(0.86e3 / 64, rel=1e-3)
    assert bundled("hermes-64:four-phase").tile.read_phases == 4
    assert bundled("hermes-64:four-phase").tile.read_energy_nJ == pytest.approx(
        3.38e3 / 64, rel=1e-3
    )
    one = bundled("hermes-64:one-device").device
    assert (one.g_max_uS, one.devices_per_polarity, one.options) == (10.35, 1, {"devices": 1})
    assert target.output.gain_std == 0
    assert bundled("hermes-64:gain-spread").output.gain_std == 0.0709


def test_the_two_afm_targets_differ_in_costs_alone() -> None:
    projected, measured = bundled("afm-512-projected"), bundled("afm-512-measured")
    assert (projected.input.steps, projected.output.steps, projected.output.bound) == (254, 254, 14)
    costs = {"tile.read_latency_ns", "tile.read_energy_nJ", "tile.area_mm2"}
    assert [(key, value) for key, value, _ in projected.figures() if key not in costs] == [
        (key, value) for key, value, _ in measured.figures() if key not in costs
    ]
    assert measured.tile.area_mm2 is None


def test_pcm_34_holds_as_many_devices_with_two_a_weight_as_with_four() -> None:
    four, two = bundled("pcm-34"), bundled("pcm-34:two-pcm")
    devices = {
        target.crossbar.columns * target.device.devices_per_polarity * 2 for target in (four, two)
    }
    assert devices == {2048}
    assert {four.device.cell_max(1), two.device.cell_max(1)} == {25.0}
    assert two.tile.read_energy_nJ is None


def test_neurram_reads_more_than_three_bits_of_magnitude_in_two_phases() -> None:
    """Half of the bits in the first, rounded up (CiMLoop, wan_nature_2022)."""
    for name in ["neurram-48", *(name for name in MODES if name.startswith("neurram-48:"))]:
        target = bundled(name)
        assert target.input.bits is not None
        magnitude = target.input.bits - 1
        first = magnitude if magnitude <= 3 else (magnitude + 1) // 2
        assert target.input.slice_bits == first
    assert bundled("neurram-48:out3-in1").input.steps == 2  # -V, 0, +V


def test_the_ideal_target_is_perfect_and_all_assumed() -> None:
    target = bundled("ideal-512")
    assert (target.input.steps, target.output.steps, target.device.noise) == (None, None, None)
    assert {origin.basis for _, _, origin in target.figures()} == {"assumed"}


@pytest.mark.parametrize(
    ("name", "efficiency", "density"), [("h100", 2.83, 2.43), ("int8-dimc", 36.5, 1.27)]
)
def test_baselines(name: str, efficiency: float, density: float) -> None:
    baseline = load_description(FILES[name])
    assert isinstance(baseline, Baseline)
    compute, die = baseline.compute, baseline.die
    assert compute.int8_TOPS and die.power_W and die.area_mm2
    assert compute.int8_TOPS / die.power_W == pytest.approx(efficiency, rel=2e-3)
    assert compute.int8_TOPS / die.area_mm2 == pytest.approx(density, rel=5e-3)
    if compute.mac_energy_fJ is not None:
        assert 2e3 / compute.mac_energy_fJ == pytest.approx(efficiency, rel=2e-3)


def test_what_was_fitted_on_another_gpu_is_not_passed_off_as_this_one() -> None:
    baseline = load_description(FILES["h100"])
    fitted = {key: origin for key, _, origin in baseline.figures() if "H200" in origin.source}
    assert len(fitted) == 8
    assert {origin.basis for origin in fitted.values()} == {"assumed"}
    assert "H200" in page(baseline).split("##")[0]
