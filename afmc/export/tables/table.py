"""A table as data: its columns, what is in them, and its rows, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.json_schema import DIALECT, Field, record

AT_ONCE = 1 << 14  # rows that are formatted together, few enough for a cache

Value = str | int | float | None
Codes = Mapping[str, NDArray[np.integer[Any]]]
"""Place in `Table.values` of every row's value, by column."""


@dataclass(frozen=True, eq=False)
class Table:
    """Values are listed once a column and rows count in them, so that millions of rows are cheap.

    A column of whole numbers from 0 up to a largest one is a `range`: its values are their own
    places in it.
    """

    name: str
    """Name of all rows: ``mapping``."""
    row: str
    """Name of one row: ``block``."""
    columns: tuple[Field, ...]
    values: Mapping[str, Sequence[Value]]
    rows: int
    codes: Callable[[slice], Codes]

    def chunks(self) -> Iterator[Codes]:
        for start in range(0, self.rows, AT_ONCE):
            yield self.codes(slice(start, start + AT_ONCE))


def rows_schema(
    title: str, meaning: str, row: str, row_meaning: str, columns: Sequence[Field]
) -> dict[str, Any]:
    """JSON Schema of a ``.json`` file; a line of a ``.jsonl`` file, and a row of the others, is
    ``row``."""
    return {
        "$schema": DIALECT,
        "title": title,
        "description": meaning,
        "type": "array",
        "items": {"$ref": f"#/$defs/{row}"},
        "$defs": {row: record(columns, row_meaning)},
    }
