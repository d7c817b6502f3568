"""What went wrong, in one sentence on stderr, and with --json as an object on stdout."""

from __future__ import annotations

import sys
from typing import Any

import typer

from afmc.cli import output
from afmc.errors import AfmcError, CapacityError

SCHEMA_VERSION = 1
STATUS = 2
"""Exit status of every mistake."""


def say(error: AfmcError | MemoryError) -> int:
    """Says what is wrong; the exit status."""
    sentence = str(error)
    if isinstance(error, MemoryError):
        sentence = "this takes more memory than the machine has."
    output.error(sentence)
    if _asked_for_json():
        output.print_json(to_json(error, sentence))
    return STATUS


def usage(error: typer.TyperException) -> int:
    """Says what is wrong with a command line as such; the exit status."""
    show = getattr(error, "show", None)
    if show is None:
        output.error(error.format_message())
    else:
        show()
    sentence = error.format_message().strip()
    if _asked_for_json() and sentence:
        output.print_json(to_json(error, sentence))
    return error.exit_code


def to_json(error: Exception, sentence: str) -> dict[str, Any]:
    """An error as data; of a model that does not fit with the report on why and what would."""
    fit = None
    if isinstance(error, CapacityError) and error.report is not None:
        from afmc.inspect import misfit_json

        fit = misfit_json(error)
    kind = type(error).__name__ if isinstance(error, AfmcError | MemoryError) else "UsageError"
    about = {"kind": kind, "message": sentence, "exit_status": STATUS, "fit": fit}
    return {"schema_version": SCHEMA_VERSION, "error": about}


def _asked_for_json() -> bool:
    """Whether --json is among the arguments, also where these could not be read."""
    given = sys.argv[1:]
    return "--json" in (given[: given.index("--")] if "--" in given else given)
