"""The mapping as CSV, JSON and JSON lines, without a loop over rows.

Every cell is looked up in a table of the texts of all values. The pieces of a row lie side by side
at their full widths, filled up with zero bytes, which are left out at the end.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from afmc.export.columns import COLUMNS, MATRIX, Chunk, chunks, largest, names_of
from afmc.ir import Program

Bytes = NDArray[np.uint8]
Piece = bytes | str
"""Text that is the same in every row, or the name of a column."""


def csv_lines(program: Program) -> Iterator[bytes]:
    """With a line of headings."""
    cells: list[Piece] = [piece for name in COLUMNS for piece in (b",", name)]
    yield f"{','.join(COLUMNS)}\n".encode()
    names = [_quoted(name) for name in names_of(program)]
    yield from _rows(program, [*cells[1:], b"\n"], names)


def json_lines(program: Program) -> Iterator[bytes]:
    """An object a line."""
    yield from _rows(program, [*_object(), b"\n"], _as_json(program))


def json_array(program: Program) -> Iterator[bytes]:
    """One array with an object a line."""
    before = b"[\n"
    for rows in _rows(program, [b",\n", *_object()], _as_json(program)):
        yield before + rows.removeprefix(b",\n") if before else rows
        before = b""
    yield before + b"\n]\n"


def _object() -> list[Piece]:
    pieces: list[Piece] = [b"{"]
    for name in COLUMNS:
        pieces += [f'"{name}": '.encode(), name, b", "]
    return [*pieces[:-1], b"}"]


def _as_json(program: Program) -> list[str]:
    return [json.dumps(name, ensure_ascii=False) for name in names_of(program)]


def _quoted(name: str) -> str:
    """As a cell of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([name])
    return text.getvalue()


def _rows(program: Program, pieces: Sequence[Piece], names: Sequence[str]) -> Iterator[bytes]:
    """The rows that are made of these pieces, many at a time."""
    texts = {name: _texts(np.arange(most + 1)) for name, most in largest(program).items()}
    texts[MATRIX] = _texts(np.array([name.encode() for name in names] or [b""]))
    for chunk in chunks(program):
        yield _joined(chunk, pieces, texts)


def _texts(values: NDArray[np.generic]) -> Bytes:
    """[values, longest]: their texts, filled up with zero bytes."""
    texts = np.ascontiguousarray(values.astype(np.bytes_))
    return texts.view(np.uint8).reshape(len(texts), -1)


def _joined(chunk: Chunk, pieces: Sequence[Piece], texts: Mapping[str, Bytes]) -> bytes:
    widths = [len(p) if isinstance(p, bytes) else texts[p].shape[1] for p in pieces]
    rows = np.zeros((len(chunk), sum(widths)), np.uint8)
    start = 0
    for piece, width in zip(pieces, widths, strict=True):
        if isinstance(piece, bytes):
            rows[:, start : start + width] = np.frombuffer(piece, np.uint8)
        else:
            rows[:, start : start + width] = texts[piece][chunk.columns[piece]]
        start += width
    return rows[rows != 0].tobytes()
