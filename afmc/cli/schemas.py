"""``--schema``: the JSON Schema of what a command prints or writes as data, errors included."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer

from afmc.cli import output
from afmc.cli.failure import SCHEMA_VERSION
from afmc.common.described import fields_of
from afmc.common.json_schema import (
    Field,
    choice,
    of,
    record,
    several,
    text,
    truth,
    version,
    whole,
)
from afmc.fit import Lever
from afmc.program.program import SCHEMA_VERSION as PROGRAM_VERSION

_MADE_BY = {
    "compare": "afmc.compare:compare_schema",
    "compile": "afmc.inspect:compile_schema",
    "costs": "afmc.cli.cost_tables:json_schema",
    "doctor": "afmc.cli.diagnosis:json_schema",
    "eval": "afmc.evaluation.schema:benchmarks_schema",
    "inspect": "afmc.inspect:inspect_schema",
    "targets check": "afmc.cli.target_schemas:check_schema",
    "targets devices": "afmc.cli.target_schemas:devices_schema",
    "targets list": "afmc.cli.target_schemas:list_schema",
    "targets show": "afmc.cli.target_schemas:show_schema",
    "validate": "afmc.evaluation.schema:validation_schema",
    "verify": "afmc.cli.verify:json_schema",
}

_PROOF = (
    choice("holds_for", "Mappings of which it is proven that none fits; null: of none.",
           ("all layouts", "this rule"), unknown=True),
    text("bound", "Name of the largest lower bound on the crossbars."),
    whole("crossbars_at_least", "Crossbars that the blocks take under this rule."),
    text("sentence", "The proof in words."),
)  # fmt: skip
_LIMIT = (
    choice("of", "What there is only so much of.", ("chips", "crossbars", "cells")),
    whole("demand", "What the mapping takes."),
    whole("supply", "What the system has."),
    whole("deficit", "What is missing."),
)
_FIT = (
    version(PROGRAM_VERSION),
    truth("fits", "Always false."),
    text("message", "What is missing."),
    text("model", "Of the compile."),
    text("target", "Of the compile."),
    text("rule", "Which blocks may share a tile."),
    several("limits", "Of chips, crossbars and cells.", _LIMIT),
    of("proof", "That it does not fit.", _PROOF),
    several("levers", "Changes that would fit, each checked.", fields_of(Lever)),
)
_ERROR = (
    text("kind", "The exception of afmc.errors, MemoryError, or UsageError for arguments that do "
         "not exist or are missing."),
    text("message", "The sentence on stderr."),
    whole("exit_status", "Of the command."),
    Field("fit", "Of a model that does not fit: why, and what would.", record(_FIT), unknown=True),
)  # fmt: skip


def option(command: str) -> Any:
    """The option, which comes before everything else that the command is given."""
    module, name = _MADE_BY[command].split(":")

    def show(asked: bool) -> None:
        if asked:
            output.print_json(with_errors(getattr(import_module(module), name)()))
            raise typer.Exit

    return typer.Option(
        "--schema",
        is_eager=True,
        callback=show,
        help="Print the JSON Schema of what this gives as data, and do nothing else.",
    )


def error_schema() -> dict[str, Any]:
    """JSON Schema of what every command prints with --json where it fails."""
    return record(
        (version(SCHEMA_VERSION), of("error", "What went wrong.", _ERROR)),
        "What every command prints with --json where it fails; the exit status is 2.",
    )


def with_errors(schema: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that allows errors, too, and what else is named; each is in ``$defs``."""
    found = dict(schema)
    definitions = dict(found.pop("$defs", {}))
    head: dict[str, Any] = {
        key: found.pop(key) for key in ("$schema", "title", "description") if key in found
    }
    kinds = found.pop("oneOf", None)
    if kinds is None:
        definitions["data"] = found
        kinds = [{"$ref": "#/$defs/data"}]
    definitions |= {**more, "error": error_schema()}
    kinds = [*kinds, *({"$ref": f"#/$defs/{name}"} for name in (*more, "error"))]
    return {**head, "oneOf": kinds, "$defs": definitions}
