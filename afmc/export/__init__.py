"""What afmc decided, for other programs: as tables, and in formats of their own.

Tables are of the mapping, a row for each block, and of what a token costs. Rows are made and
written some at a time, so that this takes little memory besides the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from afmc.common.files import Kind, check_file, written
from afmc.common.json_schema import Field
from afmc.errors import OptionError, did_you_mean
from afmc.export.aihwkit.config import export_aihwkit
from afmc.export.exported import Exported
from afmc.export.huggingface.folder import export_huggingface, huggingface_schema
from afmc.export.model_explorer.write import export_model_explorer
from afmc.export.tables.costs import COLUMNS as COSTS_COLUMNS
from afmc.export.tables.costs import COSTS, costs_table, costs_table_schema
from afmc.export.tables.kinds import kind_of_table
from afmc.export.tables.lines import csv_lines, json_array, json_lines
from afmc.export.tables.mapping import COLUMNS as MAPPING_COLUMNS
from afmc.export.tables.mapping import MAPPING, mapping, mapping_schema
from afmc.export.tables.parquet import require_pyarrow, write_parquet
from afmc.export.tables.table import Table
from afmc.program.folder import read_program

__all__ = [
    "ENDINGS",
    "Exported",
    "Table",
    "check_costs",
    "costs_table",
    "costs_table_schema",
    "export",
    "export_aihwkit",
    "export_huggingface",
    "export_model_explorer",
    "export_table",
    "huggingface_schema",
    "mapping",
    "mapping_schema",
]

_TEXTS: dict[str, Callable[[Table], Iterator[bytes]]] = {
    ".csv": csv_lines,
    ".json": json_array,
    ".jsonl": json_lines,
}
ENDINGS = (*_TEXTS, ".parquet")


def check_table(file: Path, name: str, columns: Sequence[Field]) -> tuple[Kind, bool]:
    """The kind of file that a table with these columns is, and whether one is there already.

    Raises AfmcError where one cannot be written there.
    """
    if not file.is_dir() and file.suffix not in ENDINGS:
        raise OptionError(
            f"-o {file} ends in none of {', '.join(ENDINGS[:-1])} and {ENDINGS[-1]}, which say "
            f"what is written.{did_you_mean(file.suffix, ENDINGS)}"
        )
    if file.suffix == ".parquet":
        require_pyarrow()
    kind = kind_of_table(name, columns, file.suffix)
    return kind, check_file(file, kind)


def check_costs(file: Path) -> bool:
    """Whether a table of costs is there already. Raises AfmcError where none can be written."""
    return check_table(file, COSTS, COSTS_COLUMNS)[1]


def export(table: Table, file: Path) -> int:
    """Writes a table as the file's ending says; returns the number of rows."""
    kind, _ = check_table(file, table.name, table.columns)
    with written(file, kind) as unfinished:
        if file.suffix in _TEXTS:
            with unfinished.open("wb") as out:
                out.writelines(_TEXTS[file.suffix](table))
        else:
            write_parquet(table, unfinished)
    return table.rows


def export_table(directory: Path | str, file: Path | str) -> Exported:
    """Writes the mapping of a compiled model, a row for each block, as the file's ending says."""
    file = Path(file)
    check_table(file, MAPPING, MAPPING_COLUMNS)
    rows = export(mapping(read_program(Path(directory)).program), file)
    return Exported(file, f"{rows:,} blocks", file.stat().st_size, {"rows": rows})
