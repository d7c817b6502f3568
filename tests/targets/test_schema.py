"""What a hardware description says about itself, stored, in JSON and without its imperfections."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import hardware
import jsonschema
import pytest
from descriptions import DIGITAL, GOOD, LIGHT, MODES, OPTICS, target_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples
from pydantic import ValidationError

from afmc.targets import Baseline, Origin, Target, load_target, target_schema
from afmc.targets.modes import in_mode
from afmc.targets.schema import IMPERFECTIONS, Change, Description, Mode
from afmc.targets.units import UNITS, unit_of

many = settings(max_examples=examples(25), suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(target_schema())


def moded(target: Target, mode: str) -> Target:
    return Target.model_validate(in_mode(target, mode, "file"))


def stored(target: Description) -> Any:
    """Through JSON, as in the folder of a compiled model."""
    return json.loads(
        json.dumps(target.model_dump(mode="json", exclude_unset=True), allow_nan=False)
    )


# Whole descriptions.


def test_the_strategies_have_every_key() -> None:
    tables = [*hardware.REQUIRED.items(), *hardware.FREE.items(), *hardware.TOGETHER.items()]
    assert {f"{name}.{key}" for name, keys in tables for key in keys} == set(Target.keys())
    digital = {f"{name}.{key}" for name, keys in hardware.DIGITAL.items() for key in keys}
    assert digital == set(Baseline.keys())


@many
@given(hardware.analog())
def test_every_target_survives_json_in_each_of_its_modes(data: dict[str, Any]) -> None:
    target = Target.model_validate(data)
    for each in (target, *(moded(target, mode) for mode in target.modes)):
        again = Target.model_validate(stored(each))
        assert again == each
        assert again.figures() == each.figures()
        assert [type(value) for _, value, _ in again.figures()] == [
            type(value) for _, value, _ in each.figures()
        ]
        assert Target.model_validate(each.model_dump()) == each


@many
@given(hardware.digital())
def test_every_baseline_survives_json(data: dict[str, Any]) -> None:
    baseline = Baseline.model_validate(data)
    again = Baseline.model_validate(stored(baseline))
    assert again == baseline
    assert again.figures() == baseline.figures()


@many
@given(hardware.analog() | hardware.digital())
def test_every_description_satisfies_the_json_schema(data: dict[str, Any]) -> None:
    validator().validate(data)


@many
@given(hardware.analog())
def test_every_target_can_do_without_noise(data: dict[str, Any]) -> None:
    target = Target.model_validate(data)
    for each in (target, *(moded(target, mode) for mode in target.modes)):
        quiet = each.without_noise()
        assert not (quiet.is_random or quiet.is_random_at_reads or quiet.reads_noise)
        assert each.is_random or not each.is_random_at_reads
        assert quiet.without_noise() == quiet and quiet.is_perfect
        again = Target.model_validate(stored(quiet))
        assert (again, again.figures()) == (quiet, quiet.figures())


def figure_of(key: str) -> str:
    """Without the bits or the name behind it."""
    return ".".join(key.split(".")[:2])


@many
@given(hardware.analog())
def test_a_mode_keeps_what_it_does_not_replace(data: dict[str, Any]) -> None:
    target = Target.model_validate(data)
    before = {key: (value, origin) for key, value, origin in target.figures()}
    for name, mode in target.modes.items():
        changed = moded(target, name)
        after = {key: (value, origin) for key, value, origin in changed.figures()}
        replaced = {f"{table}.{key}" for table, keys in mode.tables() for key in keys}
        omitted = {
            f"{table}.{key}" for table, keys in mode.tables() for key in keys.get("omit", [])
        }
        kept = {key for key in before if figure_of(key) not in replaced | omitted}
        assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
        assert set(map(figure_of, after.keys() - kept)) <= replaced
        assert not omitted & set(map(figure_of, after))
        for table, given_ in mode.tables():
            own = Origin(**{k: given_[k] for k in ("source", "basis", "note") if k in given_})
            for key in after.keys() & {f"{table}.{each}" for each in given_}:
                assert after[key][1] == Origin(
                    **given_.get("origin", {}).get(key.partition(".")[2], own.model_dump())
                )
        assert (changed.mode, changed.name, changed.modes) == (name, target.name, target.modes)


@many
@given(hardware.analog(), st.randoms(use_true_random=False))
def test_figures_come_in_the_order_of_the_format(data: dict[str, Any], shuffle: Any) -> None:
    target = Target.model_validate(data)
    order = {key: place for place, key in enumerate(Target.keys())}
    places = [order[".".join(key.split(".")[:2])] for key, _, _ in target.figures()]
    assert places == sorted(places)
    mixed = {
        key: _shuffled(each, shuffle) if key in Target.tables() else each
        for key, each in _shuffled(data, shuffle).items()
    }
    assert [f[:2] for f in Target.model_validate(mixed).figures()] == [
        f[:2] for f in target.figures()
    ]


def _shuffled(table: dict[str, Any], shuffle: Any) -> dict[str, Any]:
    keys = list(table)
    shuffle.shuffle(keys)
    return {key: table[key] for key in keys}


# The JSON Schema.


def test_the_json_schema_is_one_and_describes_every_key() -> None:
    schema = target_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "afmc target"
    kinds: dict[str, type[Description]] = {"Target": Target, "Baseline": Baseline}
    assert [each["title"] for each in schema["oneOf"]] == list(kinds)
    tables = {table.__name__ for kind in kinds.values() for table in kind.tables().values()}
    assert schema["$defs"].keys() == {*tables, "Origin", "Mode", "Change"}
    for each in schema["oneOf"]:
        kind = kinds[each["title"]]
        assert each["properties"].keys() == kind.model_fields.keys() - {"overrides", "mode"}
        described(each["title"], each["properties"], but=kind.tables())
        for table in kind.tables().values():
            keys = schema["$defs"][table.__name__]["properties"].keys()
            assert keys == {"source", "basis", "origin", *table.keys()}
    for name, definition in schema["$defs"].items():
        assert definition.get("description")
        described(name, definition["properties"])
    assert schema["$defs"]["Mode"]["properties"].keys() == Mode.model_fields.keys()
    assert schema["$defs"]["Change"]["properties"].keys() == Change.model_fields.keys()
    crossbar = schema["$defs"]["Crossbar"]["properties"]
    assert crossbar["rows"]["description"] == "Inputs, in weights."
    assert crossbar["wire_row_ohm"]["unit"] == "ohm" and "unit" not in crossbar["rows"]


def described(name: str, properties: dict[str, Any], but: Any = ()) -> None:
    """Every key has a sentence; a table has it at its definition."""
    for key, content in properties.items():
        sentence = content.get("description", "")
        assert key in but or sentence.endswith("."), f"{name}.{key} has no sentence under it"
        assert "\n" not in sentence


def test_a_mode_may_replace_figures_of_every_table() -> None:
    assert Mode.model_fields.keys() == {"title", *Target.tables()}


def test_the_json_schema_shows_nothing_of_how_it_is_made() -> None:
    schema = target_schema()
    assert target_schema() == schema
    text = json.dumps(schema)
    for word in ("pydantic", "BaseModel", "__", "!!!", "overrides", "default_factory"):
        assert word not in text
    references = {node["$ref"] for node in nodes(schema) if "$ref" in node}
    assert references == {f"#/$defs/{name}" for name in schema["$defs"]}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for each in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(each, dict | list):
            yield from nodes(each)


@pytest.mark.parametrize("text", [GOOD, LIGHT, MODES, DIGITAL])
def test_the_json_schema_accepts(text: str) -> None:
    validator().validate(tomllib.loads(text))


@pytest.mark.parametrize(
    ("text", "table", "key", "value"),
    [
        (GOOD, "crossbar", "rows", 0),
        (GOOD, "crossbar", "rowes", 1),
        (GOOD, "crossbar", "sense", "both"),
        (GOOD, "input", "bits", 17),
        (GOOD, "device", "noise", "two words"),
        (GOOD, "device", "significance", 0.5),
        (GOOD, "tile", "co_location", "dense"),
        (GOOD, "tile", "read_phases", 3),
        (GOOD, "tile", "read_phases", True),
        (GOOD, "chip", "basis", "guessed"),
        (GOOD, "modes", "slow", 5),
        (LIGHT, "optics", "rin_dB_Hz", 150),
        (LIGHT, "device", "transmission_max", 1.5),
        (MODES, "modes", "a:b", {"title": "x"}),
        (DIGITAL, "compute", "int8_TOP", 1),
        (DIGITAL, "memory", "kv_efficiency", 22),
        (DIGITAL, "crossbar", "rows", 1),
    ],
)
def test_the_json_schema_rejects(text: str, table: str, key: str, value: object) -> None:
    data = tomllib.loads(text)
    data.setdefault(table, {})[key] = value
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(data)


# Figures.


def test_the_figures_of_a_target() -> None:
    assert [(key, value, unit_of(key)) for key, value, _ in target_of(GOOD).figures()] == [
        ("crossbar.rows", 64, ""),
        ("crossbar.columns", 32, ""),
        ("input.bits", 8, ""),
        ("output.bits", 8, ""),
        ("output.bound", 12.0, ""),
        ("output.range", "column", ""),
        ("device.noise", "package.module:Class", ""),
        ("device.options.devices", 2, ""),
        ("device.g_max_uS", 25.0, "uS"),
        ("device.g_min_uS", 0.5, "uS"),
        ("device.devices_per_polarity", 1, ""),
        ("device.scale", "tile", ""),
        ("tile.co_location", "parallel", ""),
        ("tile.read_latency_ns", 100.0, "ns"),
        ("chip.tiles", 4, ""),
        ("system.chips", 2, ""),
    ]


def test_a_figure_that_is_given_is_a_figure_whatever_its_default() -> None:
    target = target_of(GOOD, ("[tile]\n", "[tile]\ntiers = 1\nread_phases = 1\n"))
    given_ = {key for key, _, _ in target.figures()}
    assert {"tile.tiers", "tile.read_phases"} <= given_
    set_ = load_target(target_of(GOOD), {"tile.tiers": 1})
    assert ("tile.tiers", 1) in [figure[:2] for figure in set_.figures()]


@pytest.mark.parametrize("key", [*Target.keys(), *Baseline.keys()])
def test_a_key_with_a_unit_ends_in_it(key: str) -> None:
    """And no other key happens to."""
    words = key.rpartition(".")[2].split("_")
    capital = any(letter.isupper() for letter in words[-1])
    assert bool(unit_of(key)) or not capital
    assert unit_of(key) in {"", *UNITS.values()}


@pytest.mark.parametrize(("bits", "steps"), [(2, 2), (7, 126), (8, 254), (16, 65534)])
def test_steps_are_even_so_that_zero_is_a_level(bits: int, steps: int) -> None:
    target = load_target(target_of(GOOD), {"input.bits": bits, "output.bits": bits})
    assert (target.input.steps, target.output.steps) == (steps, steps)


def test_a_perfect_converter_has_no_steps() -> None:
    target = load_target(target_of(GOOD), {"input.bits": None, "output.bits": None})
    assert (target.input.steps, target.output.steps) == (None, None)


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        target_of(GOOD).name = "other"


# Where they come from.


DATA_SHEET = Origin(source="data sheet", basis="published")
STOPWATCH = Origin(source="stopwatch", basis="measured")
BY_USER = Origin(source="set by the user", basis="assumed")


def test_a_figure_has_the_origin_of_its_table_or_its_own() -> None:
    target = target_of(GOOD)
    assert target.origin_of("crossbar.rows") == DATA_SHEET
    assert target.origin_of("tile.read_latency_ns") == STOPWATCH
    assert target.origin_of("tile.area_mm2") == DATA_SHEET  # not given
    assert target.origin_of("device.options.devices") == target.origin_of("device.options")


def test_the_origins_of_a_mode() -> None:
    target = moded(target_of(MODES), "slow")
    assert target.origin_of("tile.read_phases") == Origin(
        source="textbook", basis="assumed", note="Not tried."
    )
    assert target.origin_of("tile.read_latency_ns") == Origin(
        source="stopwatch, again", basis="measured"
    )
    assert target.origin_of("tile.co_location") == DATA_SHEET
    assert load_target(target, {"tile.read_phases": 2}).origin_of("tile.read_phases") == BY_USER


def test_the_origins_of_what_the_user_set() -> None:
    target = load_target(
        target_of(GOOD), {"tile.read_latency_ns": 7, "device.options.devices": 3, "input.bits": 4}
    )
    for key in ("tile.read_latency_ns", "device.options.devices", "input.bits"):
        assert target.origin_of(key) == BY_USER
    assert target.origin_of("crossbar.rows") == DATA_SHEET
    quiet = target.without_noise()
    assert quiet.origin_of("input.bits") == BY_USER
    assert quiet.origin_of("device.options.devices") == DATA_SHEET


def test_origins_without_noise() -> None:
    origin = 'origin.g_max_uS = { source = "guess", basis = "assumed" }\n'
    own = 'origin.noise = { source = "paper", basis = "published" }\n'
    noisy = target_of(GOOD, ("g_max_uS = 25.0\n", f"g_max_uS = 25.0\n{origin}{own}"))
    quiet = noisy.without_noise()
    assert quiet.device.origin.keys() == {"g_max_uS"}
    assert quiet.origin_of("device.g_max_uS") == Origin(source="guess", basis="assumed")
    assert quiet.origin_of("tile.read_latency_ns") == STOPWATCH


@pytest.mark.parametrize(
    "key", ["rows", "tile", "tile.tier", "tile.source", "name.x", "optics.power_mW", "modes.slow"]
)
def test_the_origin_of_nothing_is_a_key_error(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        target_of(MODES).origin_of(key)


# Modes.


def test_a_mode_replaces_figures_and_leaves_some_out() -> None:
    target = target_of(MODES)
    assert (target.mode, list(target.modes)) == (None, ["slow", "bare"])
    slow, bare = moded(target, "slow"), moded(target, "bare")
    assert (slow.mode, slow.tile.read_phases, slow.tile.read_latency_ns) == ("slow", 4, 400.0)
    assert (bare.device.noise, bare.device.options, bare.tile.read_latency_ns) == (None, {}, None)
    gone = {"device.noise", "device.options.devices", "tile.read_latency_ns"}
    assert {key for key, _, _ in target.figures()} - {key for key, _, _ in bare.figures()} == gone
    for each in (slow, bare):
        assert (each.crossbar, each.input, each.output) == (
            target.crossbar,
            target.input,
            target.output,
        )
        again = Target.model_validate(stored(each))
        assert (again, again.mode, again.figures()) == (each, each.mode, each.figures())


# Imperfections.


def test_without_noise_is_the_same_hardware_with_perfect_devices() -> None:
    noisy = load_target(
        target_of(GOOD),
        {
            "device.options.devices": 1,
            "crossbar.rows": 128,
            "crossbar.wire_row_ohm": 1.0,
            "crossbar.wire_column_ohm": 1.0,
            "crossbar.read_voltage_V": 0.2,
            "output.integration_ns": 50.0,
            "output.gain_std": 0.1,
            "output.offset_std_steps": 0.1,
            "output.inl_steps": 0.1,
            "output.noise_steps": 0.1,
            "device.stuck_off_rate": 0.1,
            "device.stuck_on_rate": 0.1,
            "device.read_noise": "each",
        },
    )
    quiet = noisy.without_noise()
    assert (quiet.device.noise, quiet.device.options) == (None, {})
    assert dict(quiet.overrides) == {
        "crossbar.rows": 128,
        "output.integration_ns": 50.0,
        "device.read_noise": "each",
    }
    dropped = tuple(f"{name}.{key}" for name, keys in IMPERFECTIONS.items() for key in keys)
    assert [f for f in noisy.figures() if not f[0].startswith(dropped)] == quiet.figures()
    assert Target.model_validate(stored(quiet)) == quiet
    assert (quiet.input, quiet.tile) == (noisy.input, noisy.tile)


@pytest.mark.parametrize(
    "figure",
    [
        {"crossbar.wire_column_ohm": 1.0},
        {"output.inl_steps": 0.1},
        {"device.stuck_on_rate": 0.1},
        {"device.noise": "gaussian"},
    ],
)
def test_one_imperfection_is_enough(figure: dict[str, Any]) -> None:
    quiet = target_of(GOOD).without_noise()
    assert quiet.is_perfect and not load_target(quiet, figure).is_perfect


def test_light_without_noise_is_light_without_optics() -> None:
    noisy = load_target(target_of(LIGHT), {"optics.power_mW": 3.0, "optics.rin_dB_Hz": -140.0})
    quiet = noisy.without_noise()
    assert (quiet.optics, quiet.device.transmission_max, dict(quiet.overrides)) == (None, 1.0, {})
    assert not any(key.startswith("optics.") for key, _, _ in quiet.figures())
    assert load_target(quiet, {"crossbar.rows": 2}).crossbar.rows == 2


READ_VOLTAGE = ("columns = 32\n", "columns = 32\nread_voltage_V = 0.2\n")
INTEGRATION = ("bound = 12\n", "bound = 12\nintegration_ns = 50\n")
PERFECT = ('noise = "package.module:Class"\noptions = { devices = 2 }\n', "")
EACH = ('scale = "tile"\n', 'scale = "tile"\nread_noise = "each"\n')


def output(figure: str) -> tuple[str, str]:
    return "bound = 12\n", f"bound = 12\n{figure} = 0.1\n"


@pytest.mark.parametrize(
    ("text", "changes", "random", "at_reads", "reads_noise"),
    [
        (GOOD, [PERFECT], False, False, False),
        (GOOD, [], True, False, False),
        (GOOD, [EACH], True, True, False),
        (GOOD, [PERFECT, EACH], False, False, False),  # nothing to be noisy
        (GOOD, [PERFECT, output("gain_std")], True, False, False),
        (GOOD, [PERFECT, output("offset_std_steps")], True, False, False),
        (GOOD, [PERFECT, output("inl_steps")], True, False, False),
        (GOOD, [PERFECT, output("noise_steps")], True, True, False),
        (GOOD, [PERFECT, ("scale", "stuck_on_rate = 0.1\nscale")], True, False, False),
        (GOOD, [PERFECT, ("scale", "stuck_off_rate = 0.1\nscale")], True, False, False),
        (GOOD, [PERFECT, ("rows = 64", "rows = 64\nwire_row_ohm = 1.0")], False, False, False),
        (GOOD, [PERFECT, READ_VOLTAGE], False, False, False),
        (GOOD, [PERFECT, INTEGRATION], False, False, False),
        (GOOD, [PERFECT, READ_VOLTAGE, INTEGRATION], True, True, True),
        (LIGHT, [PERFECT], True, True, True),
        (LIGHT, [PERFECT, (OPTICS, "")], False, False, False),
    ],
)
def test_what_is_random(
    text: str, changes: list[tuple[str, str]], random: bool, at_reads: bool, reads_noise: bool
) -> None:
    target = target_of(text, *changes)
    assert (target.is_random, target.is_random_at_reads) == (random, at_reads)
    assert target.reads_noise == reads_noise


NO_INPUT_BITS = ("[input]\nbits = 8\n", "[input]\n")
NO_OUTPUT_BITS = ("[output]\nbits = 8\n", "[output]\n")


@pytest.mark.parametrize(
    ("text", "changes", "needs"),
    [
        (GOOD, [], True),
        (GOOD, [NO_INPUT_BITS], True),
        (GOOD, [NO_OUTPUT_BITS], True),
        (GOOD, [NO_INPUT_BITS, NO_OUTPUT_BITS], False),
        (GOOD, [NO_INPUT_BITS, NO_OUTPUT_BITS, READ_VOLTAGE], False),
        (GOOD, [NO_INPUT_BITS, NO_OUTPUT_BITS, READ_VOLTAGE, INTEGRATION], True),
        (LIGHT, [NO_INPUT_BITS, NO_OUTPUT_BITS], True),
        (LIGHT, [NO_INPUT_BITS, NO_OUTPUT_BITS, (OPTICS, "")], False),
    ],
)
def test_what_needs_an_input_range(text: str, changes: list[tuple[str, str]], needs: bool) -> None:
    assert target_of(text, *changes).needs_input_range == needs


# Cells.


@pytest.mark.parametrize(
    ("text", "polarity", "significance", "devices", "cells", "largest"),
    [
        (GOOD, 1, 1, 1, (1.0,), 25.0),
        (GOOD, 2, 1, 1, (1.0, 1.0), 12.5),
        (GOOD, 2, 1, 2, (1.0,), 25.0),
        (GOOD, 4, 1, 2, (1.0, 1.0), 12.5),
        (GOOD, 2, 4.0, 1, (4.0, 1.0), 5.0),
        (GOOD, 3, 2.0, 1, (4.0, 2.0, 1.0), 25 / 7),
        (GOOD, 2, 4.0, 2, (1.0,), 25.0),
        (LIGHT, 2, 1, 1, (1.0, 1.0), 0.5),
    ],
)
def test_cells_share_a_polarity(
    text: str,
    polarity: int,
    significance: float,
    devices: int,
    cells: tuple[float, ...],
    largest: float,
) -> None:
    given_ = f"devices_per_polarity = {polarity}\nsignificance = {significance}"
    device = target_of(text, ("devices_per_polarity = 1", given_)).device
    assert device.cells(devices) == cells
    assert device.cell_max(devices) == pytest.approx(largest)
    assert sum(device.cells(devices)) * device.cell_max(devices) == pytest.approx(device.state_max)


def test_states_are_conductances_or_transmissions() -> None:
    conducts, transmits = target_of(GOOD).device, target_of(LIGHT).device
    assert (conducts.state_max, conducts.state_min) == (25.0, 0.5)
    assert (transmits.state_max, transmits.state_min) == (1.0, 0.01)
