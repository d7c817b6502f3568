"""The door for exporters: formats that a mapping is written in, built in or from other packages.

An exporter comes in by the entry-point group ``afmc.exporters``, whose name is what ``afmc export
--as NAME`` takes. It is data: where the function is that writes, so that listing formats imports
none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afmc.common.plug_ins import plug_ins
from afmc.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    from afmc.export import Exported

GROUP = "afmc.exporters"


@dataclass(frozen=True)
class Exporter:
    """A format: which function writes it, and what it is given."""

    writer: str
    """``module:function`` that is given a compiled folder, where to write, and `options` by name,
    and returns an `afmc.export.Exported`. It raises an error of `afmc.errors` for what it refuses.
    """
    options: tuple[str, ...] = ()
    """Options that it takes: those of the command (``validation``, ``dialect``, ``force``), or its
    own, given with ``--set NAME=VALUE``."""
    schema: str = ""
    """``module:function`` that makes a JSON Schema of what is written."""


TABLE = Exporter("afmc.export:export_table", schema="afmc.export:mapping_schema")
HUGGINGFACE = Exporter(
    "afmc.export:export_huggingface", ("force",), schema="afmc.export:huggingface_schema"
)
AIHWKIT = Exporter("afmc.export:export_aihwkit")
MODEL_EXPLORER = Exporter("afmc.export:export_model_explorer", ("validation",))
GRAPH = Exporter("afmc.mlir.torch_graph:export_graph")
RTN = Exporter("afmc.export.rtn:export_rtn", ("bits", "group", "form", "force"))
MLIR = Exporter("afmc.mlir:export_mlir", ("dialect",))


def list_exporters() -> dict[str, Exporter]:
    """Exporters by name, that of tables first.

    Raises OptionError where two packages provide one, or where one is no Exporter.
    """
    found = plug_ins(GROUP, "exporter")
    exporters: dict[str, Exporter] = {}
    for name in sorted(found, key=lambda name: (name != "table", name)):
        where, exporter = found[name]
        if not isinstance(exporter, Exporter):
            raise OptionError(
                f"the exporter {name!r} ({where}) is no afmc.export.door.Exporter, but "
                f"{type(exporter).__name__}."
            )
        exporters[name] = exporter
    return exporters


def exporter_named(name: str) -> Exporter:
    """Raises OptionError for a name that there is not."""
    known = list_exporters()
    if name not in known:
        raise OptionError(
            f"--as {name}: there is no such format, only {', '.join(known)}."
            f"{did_you_mean(name, list(known))}"
        )
    return known[name]


def schema_of(name: str) -> dict[str, Any]:
    """Raises OptionError where there is none."""
    chosen = exporter_named(name)
    if not chosen.schema:
        have = " and ".join(each for each, other in list_exporters().items() if other.schema)
        raise OptionError(f"--as {name} has no JSON Schema; {have} have one.")
    return dict(_function(chosen.schema)())


def write(name: str, directory: Path, output: Path, options: Mapping[str, Any]) -> Exported:
    """Writes a compiled folder in a format. Raises OptionError for an option that it does not take.

    `options` are those of the command that were given, and those of ``--set``.
    """
    chosen = exporter_named(name)
    for option in options:
        if option not in chosen.options:
            takes = [each for each, other in list_exporters().items() if option in other.options]
            if not takes:
                raise OptionError(
                    f"--set {option}: --as {name} has no such option"
                    f"{', only ' + ', '.join(chosen.options) if chosen.options else ''}."
                )
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
