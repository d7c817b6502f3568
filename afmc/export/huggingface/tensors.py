"""The mapping of weights as tensors hold them: a row for each part of a tensor on one crossbar.

Blocks are rectangles of groups of matrices; where these are of several matrices, or a matrix is
stored in several tensors, a block is several rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.json_schema import text, whole
from afmc.export.tables.table import Codes, Table
from afmc.frontends.huggingface.pieces import Pieces, StoredPiece
from afmc.program.layout import Layout

COLUMNS = (
    text("tensor", "Name in the safetensors files."),
    whole(
        "index",
        "In the first dimension of a tensor of three, which holds a bank of experts; else null.",
        unknown=True,
    ),
    whole("start_0", "First index along the tensor's first dimension, after `index`."),
    whole("stop_0", "One after the last."),
    whole("start_1", "First index along the next dimension."),
    whole("stop_1", "One after the last."),
    text("matrix", "Of `matrices`, by name."),
    whole("copy", "The expert, of a bank of experts; else 0."),
    whole("replica", "Which of several placements of the same weights; 0 is the first."),
    whole("chip", "The chip that they are on."),
    whole("tile", "The tile of that chip."),
    whole("tier", "The tier of that tile; 0 where tiles are not stacked."),
    whole("row", "First row (input) on the crossbar, in the order in which it is filled."),
    whole("col", "First column (output) on the crossbar, in the order likewise."),
    whole("rows", "Rows on the crossbar."),
    whole("cols", "Columns on the crossbar."),
)
Numbers = NDArray[np.int64]


def tensor_table(layout: Layout, pieces: Pieces) -> Table:
    """In dataflow order of matrices, of each the pieces that it is stored in, then its blocks."""
    tensors = list(dict.fromkeys(each.tensor for name in pieces for each in pieces[name]))
    found = list(_parts(layout, pieces, tensors))
    names = [column.name for column in COLUMNS]
    empty: Numbers = np.zeros(0, np.int64)
    table = {name: np.concatenate([empty, *(part[name] for part in found)]) for name in names}
    values: dict[str, Sequence[Any]] = {
        name: range(int(table[name].max(initial=0)) + 1) for name in names
    }
    # The first value of an index is that there is none.
    indices = [None, *range(int(table["index"].max(initial=0)))]
    matrices = [matrix.name for matrix in layout.matrices]
    values |= {"tensor": tensors, "matrix": matrices, "index": indices}

    def codes(rows: slice) -> Codes:
        return {name: table[name][rows] for name in names}

    return Table("placements", "part", COLUMNS, values, len(table["tensor"]), codes)


def _parts(layout: Layout, pieces: Pieces, tensors: Sequence[str]) -> Iterator[dict[str, Numbers]]:
    number = {name: index for index, name in enumerate(tensors)}
    for matrix in layout.matrices:
        mine = layout.of(matrix.name)
        for piece in pieces.get(matrix.name, ()):
            part = _overlap(mine, piece)
            yield part | {"tensor": np.full(len(part["row"]), number[piece.tensor])}


def _overlap(parts: Any, piece: StoredPiece) -> dict[str, Numbers]:
    """What a stored piece of a matrix has in common with parts of it that are in blocks."""
    parts = parts[np.isin(parts["copy"], piece.copies)]
    inside, sizes = {}, {}
    for key, length in (("row", "rows"), ("col", "cols")):
        begin, size = getattr(piece, key), getattr(piece, length)
        first = np.maximum(parts[key], begin)
        last = np.minimum(parts[key] + parts[length], begin + size)
        inside[key] = first - begin, last - begin
        sizes[length] = last - first
    kept = (sizes["rows"] > 0) & (sizes["cols"] > 0)
    found = {key: parts[key] for key in ("matrix", "copy", "replica", "chip", "tile", "tier")}
    for key, at in (("row", "at_row"), ("col", "at_col")):
        found[key] = parts[at] + inside[key][0] + getattr(piece, key) - parts[key]
    for axis, key in enumerate(("col", "row") if piece.transposed else ("row", "col")):
        found[f"start_{axis}"], found[f"stop_{axis}"] = inside[key]
    index = found["copy"] - piece.copies.start + 1
    found["index"] = index if piece.stacked else np.zeros_like(index)
    return {key: each[kept].astype(np.int64) for key, each in {**found, **sizes}.items()}
