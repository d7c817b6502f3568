"""Tables as Parquet, where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.errors import OptionError
from afmc.export.tables.table import Table, Value


def require_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise OptionError(
            "a .parquet file is written by pyarrow, which is not installed: run "
            "'pip install pyarrow', or name a .csv or .json file."
        ) from error


def write_parquet(table: Table, file: Path) -> None:
    """Whole numbers have 32 bits, other numbers 64; texts are kept once each."""
    import pyarrow
    from pyarrow import parquet

    kinds = {
        "string": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
        "integer": pyarrow.int32(),
        "number": pyarrow.float64(),
    }
    schema = pyarrow.schema([(each.name, kinds[each.kind["type"]]) for each in table.columns])
    with parquet.ParquetWriter(file, schema) as writer:
        for codes in table.chunks():
            columns = {
                field.name: _column(codes[field.name], table.values[field.name], field.type)
                for field in schema
            }
            writer.write_table(pyarrow.table(columns, schema))


def _column(codes: NDArray[np.integer[Any]], values: Sequence[Value], kind: Any) -> Any:
    import pyarrow

    if isinstance(values, range):
        return pyarrow.array(codes, kind)
    if not pyarrow.types.is_dictionary(kind):
        return pyarrow.array(values, kind).take(pyarrow.array(codes))
    unknown = np.array([value is None for value in values], np.bool_)[codes]
    texts = pyarrow.array([value or "" for value in values], pyarrow.string())
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(codes, pyarrow.int32(), mask=unknown), texts
    )
