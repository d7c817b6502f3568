"""What a target says about itself, and that the bundled ones say it truthfully."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import afmc.targets
from afmc.targets import Origin, Target, load_target, target_schema

BUNDLED = sorted(Path(afmc.targets.__file__).parent.glob("*.toml"))
HERMES, AFM, IDEAL = (
    load_target(Path(afmc.targets.__file__).parent / f"{name}.toml")
    for name in ("hermes-64", "afm-512", "ideal-512")
)

scalars = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
counts = st.integers(1, 2**31 - 1)
texts = st.text(min_size=1, max_size=20)
sourced = {
    "source": texts,
    "basis": st.sampled_from(["measured", "published", "derived", "assumed"]),
}


def table(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    return st.fixed_dictionaries(sourced | required, optional=optional or {})


scopes = st.sampled_from(["column", "tile"])
positive = st.floats(1e-3, 1e6)
descriptions = st.fixed_dictionaries(
    {
        "schema_version": st.just(1),
        "name": st.just("made-up"),
        "title": texts,
        "description": texts,
        "crossbar": table({"rows": counts, "columns": counts}),
        "input": table({}, {"bits": st.integers(2, 16)}),
        "output": table({"range": scopes, "bound": positive}, {"bits": st.integers(2, 16)}),
        "device": table(
            {
                "noise": st.just("package.module:Class"),
                "options": st.dictionaries(st.sampled_from("abc"), scalars),
                "g_max_uS": st.floats(1, 100),
                "g_min_uS": st.floats(0, 0.99),
                "devices_per_polarity": counts,
                "scale": scopes,
            }
        ),
        "tile": table(
            {"co_location": st.sampled_from(["exclusive", "parallel"])},
            {"tiers": counts, "read_latency_ns": positive, "area_mm2": positive},
        ),
        "chip": table({"tiles": counts}, {"power_W": positive}),
        "system": table({}, {"chips": counts}),
    }
)


@settings(max_examples=50, deadline=None)
@given(descriptions)
def test_every_description_survives_json(data: dict[str, Any]) -> None:
    target = Target.model_validate(data)
    text = json.dumps(target.model_dump(mode="json"), allow_nan=False)
    again = Target.model_validate(json.loads(text))
    assert again == target
    assert again.figures() == target.figures()
    assert {key: type(value) for key, value, _ in again.figures()} == {
        key: type(value) for key, value, _ in target.figures()
    }


@settings(max_examples=50, deadline=None)
@given(descriptions)
def test_every_description_satisfies_the_json_schema(data: dict[str, Any]) -> None:
    jsonschema.validate(data, target_schema())


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_a_bundled_file_satisfies_the_json_schema(file: Path) -> None:
    jsonschema.validate(tomllib.loads(file.read_text("utf-8")), target_schema())


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_every_figure_of_a_bundled_file_has_an_origin(file: Path) -> None:
    target = load_target(file)
    written = {
        f"{name}.{key}"
        for name, content in tomllib.loads(file.read_text("utf-8")).items()
        if isinstance(content, dict)
        for key in content
        if key not in ("source", "basis", "origin", "options")
    }
    figures = {key: origin for key, _, origin in target.figures()}
    assert written <= figures.keys()
    for key, origin in figures.items():
        assert target.origin_of(key) == origin
        assert len(origin.source) > 10


def test_the_json_schema_is_one_and_describes_every_key() -> None:
    schema = target_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "afmc target"
    assert "overrides" not in schema["properties"]
    for name, definition in schema["$defs"].items():
        for key, content in definition["properties"].items():
            assert content.get("description"), f"{name}.{key} has no sentence under it"
    crossbar = schema["$defs"]["Crossbar"]["properties"]
    assert crossbar["rows"]["description"] == "Inputs, in weights."


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("crossbar", "rows", 0),
        ("crossbar", "rowes", 1),
        ("input", "bits", 17),
        ("device", "noise", "Class"),
        ("tile", "co_location", "serial"),
        ("chip", "basis", "guessed"),
    ],
)
def test_the_json_schema_rejects(table: str, key: str, value: object) -> None:
    data = tomllib.loads(BUNDLED[0].read_text("utf-8"))
    data[table][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, target_schema())


def test_hermes_figures() -> None:
    values = {key: value for key, value, _ in HERMES.figures()}
    assert values == {
        "crossbar.rows": 256,
        "crossbar.columns": 256,
        "input.bits": 8,
        "output.bits": 8,
        "output.bound": 10.0,
        "output.range": "column",
        "device.noise": "afmc.simulator.devices:HermesPcm",
        "device.options.devices": 2,
        "device.g_max_uS": 20.7,
        "device.g_min_uS": 0.0,
        "device.devices_per_polarity": 2,
        "device.scale": "column",
        "tile.co_location": "exclusive",
        "tile.tiers": 1,
        "tile.read_latency_ns": 133.0,
        "tile.read_energy_nJ": 13.44,
        "tile.area_mm2": 0.634,
        "chip.tiles": 64,
        "chip.area_mm2": 144.0,
        "chip.power_W": 6.47,
    }


def test_hermes_derived_figures_follow_from_the_published_ones() -> None:
    """63.1 TOPS and 9.76 TOPS/W for 64 cores of 256 x 256, 2 operations a MAC."""
    operations = 2 * HERMES.chip.tiles * HERMES.crossbar.rows * HERMES.crossbar.columns
    assert HERMES.tile.read_latency_ns == pytest.approx(operations / 63.1e12 * 1e9, rel=2e-3)
    assert HERMES.tile.read_energy_nJ == pytest.approx(0.86e-6 / 64 * 1e9, rel=1e-3)
    assert HERMES.chip.power_W == pytest.approx(63.1 / 9.76, rel=1e-3)
    assert HERMES.tile.area_mm2 == pytest.approx(1.008 / 1.59, rel=1e-3)
    for key in ("tile.read_latency_ns", "tile.read_energy_nJ", "chip.power_W", "tile.area_mm2"):
        assert HERMES.origin_of(key).basis == "derived"


def test_afm_reports_no_cost_that_the_paper_does_not() -> None:
    assert (AFM.crossbar.rows, AFM.crossbar.columns) == (512, 512)
    assert (AFM.input.steps, AFM.output.steps, AFM.output.bound) == (254, 254, 14.0)
    assert (AFM.tile.read_latency_ns, AFM.tile.read_energy_nJ, AFM.tile.area_mm2) == (None,) * 3
    assert AFM.origin_of("chip.tiles").basis == "assumed"
    assert AFM.origin_of("device.g_max_uS").basis == "assumed"


def test_the_ideal_target_is_perfect_and_all_assumed() -> None:
    assert (IDEAL.input.steps, IDEAL.output.steps, IDEAL.device.noise) == (None, None, None)
    assert {origin.basis for _, _, origin in IDEAL.figures()} == {"assumed"}


@pytest.mark.parametrize(("bits", "steps"), [(2, 2), (7, 126), (8, 254), (16, 65534)])
def test_steps_are_even_so_that_zero_is_a_level(bits: int, steps: int) -> None:
    target = load_target(AFM, {"input.bits": bits, "output.bits": bits})
    assert (target.input.steps, target.output.steps) == (steps, steps)


def test_a_figure_has_the_origin_of_its_table_or_its_own() -> None:
    assert AFM.origin_of("crossbar.rows") == Origin(
        source="analog-foundation-models, apply_noise_model.py: max_inp_size = 512",
        basis="published",
    )
    assert AFM.origin_of("crossbar.columns").basis == "assumed"
    assert HERMES.origin_of("device.options.devices") == HERMES.origin_of("device.noise")


@pytest.mark.parametrize("key", ["rows", "tile", "tile.tier", "tile.source", "name.x"])
def test_the_origin_of_nothing_is_a_key_error(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        AFM.origin_of(key)


def test_without_noise_is_the_same_hardware_with_perfect_devices() -> None:
    noisy = load_target(HERMES, {"device.options.devices": 1, "crossbar.rows": 128})
    quiet = noisy.without_noise()
    assert quiet.device.noise is None
    assert quiet.device.options == {}
    assert dict(quiet.overrides) == {"crossbar.rows": 128}
    devices = ("device.noise", "device.options.devices")
    assert [f for f in noisy.figures() if f[0] not in devices] == quiet.figures()
    assert Target.model_validate(quiet.model_dump(mode="json")) == quiet


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AFM.name = "other"
