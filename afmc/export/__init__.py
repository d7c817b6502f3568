"""What afmc decided, for other programs: as tables, and in formats of their own.

Tables are of the mapping, a row for each block, and of what a token costs. Rows are made and
written some at a time, so that this takes little memory besides the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from afmc.artifact import read
from afmc.errors import OptionError, did_you_mean
from afmc.export.costs import costs_table, costs_table_schema
from afmc.export.exported import Exported
from afmc.export.mapping import mapping, mapping_schema
from afmc.export.parquet import require_pyarrow, write_parquet
from afmc.export.table import Table
from afmc.export.text import csv_lines, json_array, json_lines
from afmc.files import check_writable, written

__all__ = [
    "ENDINGS",
    "Exported",
    "Table",
    "check_file",
    "costs_table",
    "costs_table_schema",
    "export",
    "export_table",
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
    if not file.is_dir() and file.suffix not in ENDINGS:
        raise OptionError(
            f"-o {file} ends in none of {', '.join(ENDINGS[:-1])} and {ENDINGS[-1]}, which say "
            f"what is written.{did_you_mean(file.suffix, ENDINGS)}"
        )
    if file.suffix == ".parquet":
        require_pyarrow()
    check_writable(file)


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


def export_table(directory: Path | str, file: Path | str) -> Exported:
    """Writes the mapping of a compiled model, a row for each block, as the file's ending says."""
    file = Path(file)
    check_file(file)
    rows = export(mapping(read(Path(directory)).program), file)
    return Exported(file, f"{rows:,} blocks", file.stat().st_size, {"rows": rows})
