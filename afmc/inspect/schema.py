"""JSON Schema of what `afmc inspect DIR --json` prints: a summary, or a closer look."""

from __future__ import annotations

from typing import Any

from afmc.common.described import fields_of
from afmc.common.json_schema import (
    DIALECT,
    by_name,
    document,
    number,
    record,
    several,
    text,
    truth,
    version,
    whole,
)
from afmc.inspect.views_schema import layer_schema, tile_schema, why_schema
from afmc.program.program import SCHEMA_VERSION
from afmc.program.summary import Summary

_NUMBERS = {"type": "number"}
_WORDS = {"type": "string"}
_ANY: dict[str, Any] = {}

_PASS = (
    text("name", "Of the pass."),
    by_name("options", "All of them, defaults included.", _ANY),
)
_REMAINDER = (
    text("operation", "Of the graph."),
    whole("count", "How often."),
    whole("weights", "That it holds."),
    text("reason", "Why it is not on tiles."),
    truth("lowered", "False for products that afmc does not lower yet."),
)
_INSPECT = (
    version(SCHEMA_VERSION),
    *fields_of(Summary),
    number("wall_s", "To compile, measured.", "s"),
    number("peak_rss_mb", "Largest resident memory while compiling, measured.", "MB"),
    by_name("stages_s", "Of each stage, in seconds, measured.", _NUMBERS),
    several("passes", "In the order in which they ran.", _PASS),
    by_name("digital", "Of each matrix that stays digital, why.", _WORDS),
    several("remainder", "Operations of the graph that are not on tiles.", _REMAINDER),
)


def compile_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc compile --json``."""
    return {"$schema": DIALECT, "title": "afmc compile", **_summary()}


def _summary() -> dict[str, Any]:
    return record(
        _INSPECT,
        "What afmc inspect DIR --json prints, and afmc compile --json of a model that fits. All "
        "but the seconds and megabytes is derived, and equal on every machine.",
    )


def inspect_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc inspect DIR --json``, alone and with each of its questions."""
    return document(
        "afmc inspect",
        "What afmc inspect DIR prints with --json, without a question and with each.",
        {
            "inspect": _summary(),
            "layer": layer_schema(),
            "tile": tile_schema(),
            "why": why_schema(),
        },
    )
