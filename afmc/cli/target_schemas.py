"""JSON Schemas of what `afmc targets` prints with --json."""

from __future__ import annotations

from typing import Any

from afmc.cli.targets import SCHEMA_VERSION
from afmc.common.json_schema import (
    DIALECT,
    Field,
    choice,
    record,
    several,
    text,
    truth,
    version,
    whole,
)

_BASES = ("measured", "published", "derived", "assumed")
_BROKEN = (text("name", "Of the entry point."), text("error", "Why it does not load."))


def list_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc targets list --json``."""
    common = (text("name", "For --target."), text("title", "In words."))
    digital = (choice("kind", "Digital hardware, to compare with.", ("digital",)), *common)
    analog = (
        choice("kind", "Tiles.", ("analog",)),
        *common,
        whole("rows", "Of a crossbar."),
        whole("columns", "Of a crossbar."),
        whole("input_bits", "Of input converters; null: perfect.", unknown=True),
        whole("output_bits", "Of output converters; null: perfect.", unknown=True),
        text("noise", "Device model; null: perfect devices.", unknown=True),
        whole("tiles_per_chip", "Tiles on a chip."),
        several("modes", "Other ways to run it: --target NAME:MODE.", {"type": "string"}),
    )
    return _rows("afmc targets list", "targets", "The installed targets.", digital, analog, _BROKEN)


def show_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc targets show T --json``."""
    figure = (
        text("key", "TABLE.KEY."),
        Field("value", "As in the file.", {}),
        text("unit", "Of the value; empty for a plain number or a word."),
        text("source", "Paper, data sheet, file of a public repository or calculation."),
        choice("basis", "What the source is worth.", _BASES),
        text("note", "What to know before relying on it.", unknown=True),
    )
    target = Field("target", "The file; 'afmc targets schema' describes it.", {"type": "object"})
    return _document(
        "afmc targets show",
        (version(SCHEMA_VERSION), target, several("figures", "With their origins.", figure)),
    )


def check_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc targets check T --json``."""
    kinds = ("passed", "suspicious", "wrong")
    finding = (choice("kind", "How serious it is.", kinds), text("text", "What was found."))
    return _rows("afmc targets check", "findings", "In the order of the checks.", finding)


def devices_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc targets devices --json``."""
    needed = (
        text("name", "Of the option."),
        truth("required", "Whether it has no default."),
        text("unit", "Of the value; empty for a plain number or a word."),
        text("meaning", "What stands under it in the source."),
    )
    optional = (*needed, Field("default", "Its value otherwise.", {}))
    device = (
        text("name", "For device.noise."),
        text("class", "Where it is."),
        text("about", "First sentence of its documentation."),
        several("options", "For device.options.", {"oneOf": [record(needed), record(optional)]}),
    )
    broken = (*_BROKEN, text("class", "Where it should be."))
    return _rows("afmc targets devices", "devices", "The installed models.", device, broken)


def _rows(title: str, name: str, meaning: str, *kinds: tuple[Field, ...]) -> dict[str, Any]:
    """A list whose rows are of one of several kinds."""
    rows = [record(kind) for kind in kinds]
    items = rows[0] if len(rows) == 1 else {"oneOf": rows}
    return _document(title, (version(SCHEMA_VERSION), several(name, meaning, items)))


def _document(title: str, fields: tuple[Field, ...]) -> dict[str, Any]:
    about = f"What {title} prints with --json."
    return {"$schema": DIALECT, "title": title, **record(fields, about)}
