"""Tables as data for other programs: the mapping, a row for each block, and what a token costs.

Rows are made and written some at a time, so that this takes little memory besides the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from afmc.errors import OptionError, did_you_mean
from afmc.export.costs import costs_table, costs_table_schema
from afmc.export.mapping import mapping, mapping_schema
from afmc.export.parquet import require_pyarrow, write_parquet
from afmc.export.table import Table
from afmc.export.text import csv_lines, json_array, json_lines
from afmc.files import written

__all__ = [
    "ENDINGS",
    "Table",
    "check_file",
    "costs_table",
    "costs_table_schema",
    "export",
    "mapping",
    "mapping_schema",
]

_TEXTS: dict[str, Callable[[Table], Iterator[bytes]]] = {
    ".csv": csv_lines,
    ".json": json_array,
    ".jsonl": json_lines,
}
ENDINGS = (*_TEXTS, ".parquet")


def check_file(file: Path) -> None:
    """Raises AfmcError where a table cannot be written there."""
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


def export(table: Table, file: Path) -> int:
    """Writes a table as the file's ending says; returns the number of rows."""
    check_file(file)
    with written(file) as unfinished:
        if file.suffix in _TEXTS:
            with unfinished.open("wb") as out:
                out.writelines(_TEXTS[file.suffix](table))
        else:
            write_parquet(table, unfinished)
    return table.rows
