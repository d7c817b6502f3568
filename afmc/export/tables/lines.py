"""Tables as CSV, JSON and JSON lines, without a loop over rows.

Every cell is looked up in a table of the texts of all values. The pieces of a row lie side by side
at their full widths, filled up with zero bytes, which are left out at the end.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from afmc.export.tables.table import Codes, Table, Value

Bytes = NDArray[np.uint8]
Piece = bytes | str
"""Text that is the same in every row, or the name of a column."""


def csv_lines(table: Table) -> Iterator[bytes]:
    """With a line of headings; what is not known is empty."""
    names = [column.name for column in table.columns]
    cells: list[Piece] = [piece for name in names for piece in (b",", name)]
    yield f"{','.join(names)}\n".encode()
    yield from _rows(table, [*cells[1:], b"\n"], _quoted)


def json_lines(table: Table) -> Iterator[bytes]:
    """An object a line."""
    yield from _rows(table, [*_object(table), b"\n"], _as_json)


def json_array(table: Table) -> Iterator[bytes]:
    """One array with an object a line."""
    before = b"[\n"
    for rows in _rows(table, [b",\n", *_object(table)], _as_json):
        yield before + rows.removeprefix(b",\n") if before else rows
        before = b""
    yield before + b"\n]\n"


def _object(table: Table) -> list[Piece]:
    pieces: list[Piece] = [b"{"]
    for column in table.columns:
        pieces += [f'"{column.name}": '.encode(), column.name, b", "]
    return [*pieces[:-1], b"}"]


def _as_json(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _quoted(value: Value) -> str:
    """As a cell of a CSV file."""
    if value is None:
        return ""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([value])
    return text.getvalue()


def _rows(
    table: Table, pieces: Sequence[Piece], written: Callable[[Value], str]
) -> Iterator[bytes]:
    """The rows that are made of these pieces, many at a time."""
    texts = {name: _texts(values, written) for name, values in table.values.items()}
    for codes in table.chunks():
        yield _joined(codes, pieces, texts)


def _texts(values: Sequence[Value], written: Callable[[Value], str]) -> Bytes:
    """[values, longest]: their texts, filled up with zero bytes."""
    if isinstance(values, range):
        texts = np.arange(len(values)).astype(np.bytes_)
    else:
        texts = np.array([written(value).encode() for value in values] or [b""])
    texts = np.ascontiguousarray(texts)
    return texts.view(np.uint8).reshape(len(texts), -1)


def _joined(codes: Codes, pieces: Sequence[Piece], texts: Mapping[str, Bytes]) -> bytes:
    widths = [len(p) if isinstance(p, bytes) else texts[p].shape[1] for p in pieces]
    rows = np.zeros((len(next(iter(codes.values()))), sum(widths)), np.uint8)
    start = 0
    for piece, width in zip(pieces, widths, strict=True):
        if isinstance(piece, bytes):
            rows[:, start : start + width] = np.frombuffer(piece, np.uint8)
        else:
            rows[:, start : start + width] = texts[piece][codes[piece]]
        start += width
    return rows[rows != 0].tobytes()
