"""The analog layers of a program as AIHWKIT configures them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afmc.program.layout import Layout
from afmc.program.model import Matrix, even_pieces, largest_over

_LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d")
"""Classes of torch that `convert_to_analog` replaces."""


_WIDTH = 98


@dataclass(frozen=True)
class Layer:
    path: str
    rows: int
    """Most rows of a tile, as AIHWKIT counts them."""
    cols: int
    ranges: tuple[float, ...]
    """Input range of each row slice, or one for all; empty where there are none."""
    rows_alike: bool
    """Whether AIHWKIT then cuts where afmc has cut."""
    cols_alike: bool


def layers_of(layout: Layout) -> tuple[list[Layer], list[Matrix]]:
    """Those that AIHWKIT has, and the matrices on tiles that are in no such layer."""
    layers, elsewhere = [], []
    for matrix in layout.matrices:
        mine = layout.of(matrix.name)
        if not len(mine):
            continue
        package, _, kind = matrix.layer.rpartition(".")
        if kind not in _LAYERS or not package.startswith("torch.nn.") or matrix.copies > 1:
            elsewhere.append(matrix)
            continue
        first = mine[mine["replica"] == 0]
        rows, cols = (_sizes(first, *keys) for keys in (("row", "rows"), ("col", "cols")))
        theirs = even_pieces(matrix.rows, -(-matrix.rows // max(rows)))
        across = even_pieces(matrix.cols, -(-matrix.cols // max(cols)))
        ranges = tuple(_ranges(matrix, theirs))
        layers.append(
            Layer(matrix.module, max(rows), max(cols), ranges, rows == theirs, cols == across)
        )
    return layers, elsewhere


def _sizes(parts: Any, start: str, size: str) -> list[int]:
    _, which = np.unique(parts[start], return_index=True)
    sizes: list[int] = parts[size][which].tolist()
    return sizes


def _ranges(matrix: Matrix, slices: Sequence[int]) -> Iterator[float]:
    if matrix.input_range is None:
        return
    if not matrix.slice_ranges:
        yield matrix.input_range
        return
    first = 0
    for size in slices:
        yield largest_over(matrix.slice_ranges, matrix.rows, first, first + size)
        first += size
