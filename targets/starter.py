"""A file to fill in, with every table and every key of the format (`afmc targets new`).

Everything in it but the values comes from the JSON Schema, so that it cannot be out of date.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from afmc.common.files import Kind, written
from afmc.errors import TargetError
from afmc.targets.jsonschema import json_schema
from afmc.targets.schema import Target
from afmc.targets.tables import LARGEST
from afmc.targets.units import unit_of

FILL_IN = "fill in"
"""Stands where nobody has said yet where a figure comes from."""

_EXAMPLES: dict[str, object] = {
    "crossbar.rows": 256,
    "crossbar.columns": 256,
    "crossbar.active_rows": 64,
    "crossbar.wire_row_ohm": 1.0,
    "crossbar.wire_column_ohm": 1.0,
    "crossbar.read_voltage_V": 0.2,
    "crossbar.cell_energy_fJ": 10.0,
    "input.bits": 8,
    "input.row_energy_pJ": 0.3,
    "output.bits": 8,
    "output.bound": 10.0,
    "output.conversion_ns": 50.0,
    "output.conversion_by_bits_ns": {"4": 30.0, "8": 50.0},
    "output.conversion_energy_pJ": 3.0,
    "output.conversion_energy_by_bits_pJ": {"4": 0.4, "8": 3.0},
    "output.cycle_ns": 1.0,
    "output.walden_fJ_step": 25.0,
    "output.integration_ns": 100.0,
    "device.noise": "gaussian",
    "device.options": {"sigma": 0.05},
    "device.g_max_uS": 25.0,
    "device.g_min_uS": 0.25,
    "device.devices_per_polarity": 1,
    "tile.read_latency_ns": 200.0,
    "tile.read_energy_nJ": 10.0,
    "tile.area_mm2": 0.5,
    "chip.tiles": 64,
    "chip.area_mm2": 100.0,
    "chip.power_W": 5.0,
    "links.columns": 8,
    "links.hop_energy_pJ_bit": 0.08,
    "links.hop_latency_ns": 5.0,
    "links.bandwidth_GB_s": 1.0,
    "digital.units": 1,
    "digital.norm_latency_ns": 50.0,
    "digital.norm_energy_pJ": 3.0,
    "digital.activation_latency_ns": 10.0,
    "digital.activation_energy_pJ": 1.0,
    "digital.elementwise_latency_ns": 10.0,
    "digital.elementwise_energy_pJ": 0.2,
    "digital.softmax_latency_ns": 10.0,
    "digital.softmax_energy_pJ": 1.5,
    "digital.add_latency_ns": 10.0,
    "digital.add_energy_pJ": 0.04,
    "digital.mac_energy_fJ": 300.0,
    "digital.attention_TOPS": 2.0,
    "cache.bandwidth_GB_s": 50.0,
    "cache.energy_pJ_B": 64.0,
    "cache.on_chip_MB": 4.0,
    "cache.on_chip_energy_pJ_B": 2.0,
    "cache.on_chip_bandwidth_GB_s": 500.0,
    "chip.static_power_W": 1.0,
    "system.link_energy_pJ_bit": 1.3,
    "system.link_latency_ns": 100.0,
    "system.link_bandwidth_GB_s": 10.0,
    "optics.rin_dB_Hz": -150.0,
}
"""Plausible values. A key that is not here has its default, or the first value that it may have."""

_RANGE = {
    "device.g_max_uS": "Required, or transmission_max.",
    "device.g_min_uS": "Required, or transmission_min.",
}
"""Optional by the schema, but of conductance and light one must be given."""

_HEAD = """\
{name}: hardware for afmc, to be filled in.

A key without a # in front must be given; its value here is an example. Take the # away from the \
others to give them. The unit is the end of the key.

Every table has a source and a basis, which hold for all its figures but those with their own:

[crossbar.origin.rows]
source = "{fill_in}"
basis = "assumed"
note = "{fill_in}"

source: {source}
basis: {basis}
note: {note}

'afmc targets check {name}.toml' says what is wrong, missing or suspicious."""

_MODES = """\
{sentence} Any table may be in a mode, with the figures that it replaces.

[modes.fast]
title = "Half the time, by shorter pulses"
[modes.fast.tile]
read_latency_ns = 100.0
source = "{fill_in}"
basis = "assumed\""""


STARTER = Kind("a new file", lambda file: False)


def write_starter(file: Path) -> None:
    """A new file, named after which the target is.

    Raises TargetError or OptionError, and then writes nothing.
    """
    if not file.name.endswith(".toml"):
        raise TargetError(f"{file} does not end in .toml: call it {file.name or 'my-chip'}.toml.")
    text = starter(file.name.removesuffix(".toml"))
    if file.is_symlink() or file.exists():
        raise TargetError(f"{file} exists already: choose another name, or remove it first.")
    with written(file, STARTER, option="") as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def starter(name: str) -> str:
    """The text of a file for hardware of that name. It loads as it is."""
    schema = json_schema()
    analog = next(each for each in schema["oneOf"] if each["title"] == "Target")
    about = analog["properties"]
    if not re.fullmatch(about["name"]["pattern"], name):
        raise TargetError(
            f"'{name}' is no name for a target: it must be made of letters, digits, '.', '_' and "
            f"'-', and begin with a letter or digit."
        )
    first: dict[str, object] = {
        "schema_version": about["schema_version"]["const"],
        "name": name,
        "title": FILL_IN,
        "description": FILL_IN,
    }
    origin = {
        key: each["description"] for key, each in schema["$defs"]["Origin"]["properties"].items()
    }
    parts = [_comment(_HEAD.format(name=name, fill_in=FILL_IN, **origin))]
    for key in about:
        if key not in Target.tables() and key != "modes":
            value = first.get(key, about[key].get("default"))
            parts.append(_figure(key, about[key], value, key in first))
    for table in Target.tables():
        parts += _table(table, schema["$defs"], table in analog["required"])
    sentence = about["modes"]["description"]
    parts.append(_comment(_MODES.format(sentence=sentence, fill_in=FILL_IN)))
    return "\n\n".join(parts) + "\n"


def _table(table: str, definitions: Mapping[str, Any], required: bool) -> Iterator[str]:
    kind = Target.tables()[table]
    described = definitions[kind.__name__]
    about = " ".join(described["description"].split())
    hash_ = "" if required else "# "
    if not required:
        about += " The whole table may be left out."
    yield f"{_comment(about)}\n{hash_}[{table}]"
    for key in kind.keys():
        dotted, each = f"{table}.{key}", described["properties"][key]
        wanted = "Required." if key in described["required"] else _RANGE.get(dotted, "")
        value = _EXAMPLES.get(dotted, _first(each))
        yield _figure(key, each, value, required and wanted != "", wanted)
    yield f'{hash_}source = "{FILL_IN}"\n{hash_}basis = "assumed"'


def _figure(
    key: str, schema: Mapping[str, Any], value: object, given: bool, wanted: str = ""
) -> str:
    """What a key means and may be, and a line that sets it: a comment where it is not `given`."""
    default = schema.get("default")
    if not wanted and given:
        wanted = "Required."
    elif not wanted:
        wanted = "May be left out." if default is None else f"Default: {_spell(default)}."
    meaning = f"{schema['description']}\n{_type(schema, unit_of(key))}. {wanted}"
    return f"{_comment(meaning)}\n{'' if given else '# '}{key} = {_spell(value)}"


def _given(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a value that is there."""
    return next((each for each in schema.get("anyOf", ()) if each["type"] != "null"), schema)


def _type(schema: Mapping[str, Any], unit: str) -> str:
    """What a value may be: ``Whole number from 2 to 16``."""
    given = _given(schema)
    if "const" in given:
        return _spell(given["const"])
    if "enum" in given:
        return "One of " + ", ".join(map(_spell, given["enum"]))
    kinds = {"integer": "Whole number", "number": "Number", "string": "String", "object": "Table"}
    parts = [kinds[given["type"]]]
    if given["type"] == "integer" and given.get("exclusiveMinimum") == 0:
        parts.append("from 1 on")  # up to what 32 bits hold
    else:
        words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to"}
        limits = {key: given[key] for key in words if given.get(key, LARGEST) < LARGEST}
        parts += [f"{words[key]} {limit:g}" for key, limit in limits.items()]
    return " ".join(parts) + (f", in {unit}" if unit else "")


def _first(schema: Mapping[str, Any]) -> object:
    """A value that the schema allows."""
    given = _given(schema)
    if schema.get("default") is not None:
        return schema["default"]
    if "enum" in given:
        return given["enum"][0]
    kind = {"integer": int, "number": float}.get(given["type"])
    if kind is None:
        return {} if given["type"] == "object" else FILL_IN
    least = given.get("minimum", given.get("exclusiveMinimum", 0) + 1)
    return kind(min(least, given.get("maximum", least)))


def _spell(value: object) -> str:
    """As in a TOML file."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {_spell(each)}" for key, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, 98, break_on_hyphens=False, break_long_words=False) or [""]
    return "\n".join(f"# {line}".rstrip() for line in lines)
