"""``afmc export --as NAME``: which function writes what, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afmc.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    from afmc.export import Exported


@dataclass(frozen=True)
class Format:
    writer: str
    """``module:function``, which is given a compiled folder, where to write, and `options`."""
    options: tuple[str, ...] = ()
    """The command's options that it takes."""
    schema: str = ""
    """``module:function`` that makes a JSON Schema."""


TABLE = "table"
FORMATS = {
    TABLE: Format("afmc.export:export_table", schema="afmc.export:mapping_schema"),
    "huggingface": Format(
        "afmc.export:export_huggingface", ("force",), schema="afmc.export:huggingface_schema"
    ),
    "aihwkit": Format("afmc.export:export_aihwkit"),
    "model-explorer": Format("afmc.export:export_model_explorer", ("validation",)),
    "mlir": Format("afmc.mlir:export_mlir", ("dialect",)),
}


def format_named(name: str) -> Format:
    """Raises OptionError for a name that there is not."""
    if name not in FORMATS:
        raise OptionError(
            f"--as {name}: there is no such format, only {', '.join(FORMATS)}."
            f"{did_you_mean(name, list(FORMATS))}"
        )
    return FORMATS[name]


def schema_of(name: str) -> dict[str, Any]:
    """Raises OptionError where there is none."""
    chosen = format_named(name)
    if not chosen.schema:
        have = " and ".join(each for each, format in FORMATS.items() if format.schema)
        raise OptionError(f"--as {name} has no JSON Schema; {have} have one.")
    return dict(_function(chosen.schema)())


def write(name: str, directory: Path, output: Path, options: Mapping[str, Any]) -> Exported:
    """`options` are those of the command that were given. Raises OptionError for one that the
    format does not take."""
    chosen = format_named(name)
    for option in options:
        if option not in chosen.options:
            takes = [each for each, format in FORMATS.items() if option in format.options]
            raise OptionError(f"--{option} is for --as {' and '.join(takes)}, not for {name}.")
    exported: Exported = _function(chosen.writer)(directory, output, **options)
    return exported


def to_json(made: Exported) -> dict[str, Any]:
    """What ``afmc export --json`` prints."""
    more: dict[str, Any] = {"more_files": [str(each) for each in made.more]} if made.more else {}
    if made.notes:
        more["notes"] = list(made.notes)
    return {"file": str(made.place), **made.counts, "bytes": made.bytes, **more}


def _function(path: str) -> Callable[..., Any]:
    module, name = path.split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
