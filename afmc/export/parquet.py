"""The mapping as Parquet, where pyarrow is installed."""

from __future__ import annotations

from pathlib import Path

from afmc.errors import OptionError
from afmc.export.columns import COLUMNS, MATRIX, chunks, names_of
from afmc.ir import Program


def require_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise OptionError(
            "a .parquet file is written by pyarrow, which is not installed: run "
            "'pip install pyarrow', or name a .csv or .json file."
        ) from error


def write_parquet(program: Program, file: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    names = pyarrow.array(names_of(program), pyarrow.string())
    kinds = {name: pyarrow.int32() for name in COLUMNS}
    kinds[MATRIX] = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    schema = pyarrow.schema(kinds.items())
    with parquet.ParquetWriter(file, schema) as writer:
        for chunk in chunks(program):
            columns = {name: pyarrow.array(values) for name, values in chunk.columns.items()}
            columns[MATRIX] = pyarrow.DictionaryArray.from_arrays(columns[MATRIX], names)
            writer.write_table(pyarrow.table(columns, schema))
