"""The mapping as data for other programs: a row for each block, with where it is.

Rows are made and written some at a time, so that this takes little memory besides the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from afmc.errors import OptionError, did_you_mean
from afmc.export.columns import COLUMNS, json_schema
from afmc.export.parquet import require_pyarrow, write_parquet
from afmc.export.text import csv_lines, json_array, json_lines
from afmc.files import written
from afmc.ir import Program

__all__ = ["COLUMNS", "ENDINGS", "check_file", "export", "json_schema"]

_TEXTS: dict[str, Callable[[Program], Iterator[bytes]]] = {
    ".csv": csv_lines,
    ".json": json_array,
    ".jsonl": json_lines,
}
ENDINGS = (*_TEXTS, ".parquet")


def check_file(file: Path) -> None:
    """Raises AfmcError where the mapping cannot be written there."""
    if file.is_dir():
        raise OptionError(f"-o {file} is a folder; name a file in it.")
    if file.suffix not in ENDINGS:
        raise OptionError(
            f"-o {file} ends in none of {', '.join(ENDINGS[:-1])} and {ENDINGS[-1]}, which say "
            f"what is written.{did_you_mean(file.suffix, ENDINGS)}"
        )
    if file.suffix == ".parquet":
        require_pyarrow()
    parent = file.absolute().parent
    if not parent.is_dir():
        raise OptionError(f"-o {file}: there is no folder {file.parent}; make it first.")
    if not os.access(parent, os.W_OK):
        raise OptionError(f"-o {file}: the folder {file.parent} cannot be written to.")


def export(program: Program, file: Path) -> int:
    """Writes the mapping as the file's ending says; returns the number of rows."""
    check_file(file)
    with written(file) as unfinished:
        if file.suffix in _TEXTS:
            with unfinished.open("wb") as out:
                out.writelines(_TEXTS[file.suffix](program))
        else:
            write_parquet(program, unfinished)
    return len(program.placements)
