"""``--schema``: the JSON Schema of what a command prints or writes as data."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from afmc.cli import output

_MADE_BY = {
    "compare": "afmc.compare:compare_schema",
    "costs": "afmc.cli.cost_tables:json_schema",
    "inspect": "afmc.inspect:inspect_schema",
    "validate": "afmc.evaluation.schema:validation_schema",
}


def option(command: str) -> Any:
    """The option, which comes before everything else that the command is given."""
    module, name = _MADE_BY[command].split(":")

    def show(asked: bool) -> None:
        if asked:
            output.print_json(getattr(import_module(module), name)())
            raise typer.Exit

    return typer.Option(
        "--schema",
        is_eager=True,
        callback=show,
        help="Print the JSON Schema of what this gives as data, and do nothing else.",
    )
