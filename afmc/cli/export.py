"""``afmc export``: the mapping as data, or in the format of another program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from afmc.cli import complete, output
from afmc.cli.options import Force, Json
from afmc.cli.schemas import with_errors
from afmc.common.json_schema import record, several, text, whole
from afmc.errors import OptionError


def export(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote.")
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A table's file ends in .csv, .json (one array), .jsonl (an object a line) or "
            ".parquet (needs pyarrow). What an earlier export wrote there is replaced.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="NAME",
            autocompletion=complete.formats,
            help="table: the mapping, a row for each block. huggingface: a folder with the model, "
            "and the mapping of its tensors beside it. model-explorer: graphs to look at, and "
            "utilisation to colour them by. aihwkit: a Python file that configures that simulator. "
            "mlir: what is left to digital arithmetic as code, in which analog products are calls. "
            "rtn: the digital model with its weights rounded to --bits.",
        ),
    ] = "table",
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For model-explorer: what 'afmc validate DIR --by-matrix --json' printed, to "
            "colour by error.",
        ),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For mlir: linalg (the default; what IREE and mlir-opt read) or torch.",
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            min=2, max=8, help="For rtn: bits of a weight, 4 without it.", show_default=False
        ),
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(min=1, help="For rtn: inputs that share a scale; all of an output's without."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=V",
            help="Another option of a format: for rtn form=packed, integers and scales as "
            "compressed-tensors and transformers read them.",
        ),
    ] = None,
    force: Force = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of what this writes (with --as), and do nothing else.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """The mapping as data: a row for each block, with its matrix and where it is; or in the format
    of another program.
    """
    from afmc.cli.settings import parse_values
    from afmc.export.door import schema_of, to_json, write

    if schema:
        output.print_json(with_errors(schema_of(format), printed=_printed()))
        return
    if directory is None or output_path is None:
        raise OptionError("export needs a compiled folder and a file: afmc export DIR -o FILE.csv.")
    options: dict[str, Any] = {
        "validation": validation,
        "dialect": dialect,
        "bits": bits,
        "group": group,
        "force": force or None,
    }
    given: dict[str, Any] = {k: value for k, value in options.items() if value is not None}
    given |= parse_values(settings or [])
    replaced = output_path.exists() and bool(output_path.is_dir() or output_path.stat().st_size)
    made = write(format, directory, output_path, given)
    if json:
        output.print_json(to_json(made))
        return
    beside = f", and beside it {', '.join(each.name for each in made.more)}" if made.more else ""
    there = output.replacing(replaced)
    print(f"{made.what} written to {made.place} ({made.bytes:,} bytes){beside}{there}")
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)


def _printed() -> dict[str, Any]:
    """JSON Schema of what is printed with --json, besides how many of what were written."""
    fields = (
        text("file", "That was written, or the folder."),
        whole("bytes", "Written in all.", "B"),
        several("more_files", "Written beside it.", {"type": "string"}),
        several("notes", "What a reader should know.", {"type": "string"}),
    )
    counts = {"type": "integer", "minimum": 0, "description": "How many of what were written."}
    about = "What afmc export prints with --json, while it writes to PATH."
    found = {**record(fields, about), "required": ["file", "bytes"]}
    return {**found, "additionalProperties": counts}
