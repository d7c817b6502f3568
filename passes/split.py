"""Matrices into blocks that fit a crossbar: a grid of row cuts and column cuts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afmc.ir import BLOCK, Program, Table
from afmc.targets import Target

Style = Literal["full", "balanced"]


@dataclass(frozen=True)
class Split:
    style: Style = "full"
    """``full``: whole tiles and a remainder, which packs best. ``balanced``: pieces of nearly equal
    size, as AIHWKIT cuts, which gives every partial sum the same statistics."""

    def __call__(self, program: Program, target: Target) -> Program:
        members: dict[tuple[int, int, int], list[int]] = {}
        for index, group in enumerate(program.groups):
            members.setdefault((group.rows, group.cols, group.copies), []).append(index)
        tables = [
            _stamp(self._grid(rows, cols, target), np.asarray(indices, "<i4"), copies)
            for (rows, cols, copies), indices in members.items()
        ]
        blocks = np.concatenate(tables) if tables else np.zeros(0, BLOCK)
        order = np.lexsort([blocks[key] for key in ("col", "row", "replica", "copy", "group")])
        return replace(program, blocks=blocks[order])

    def _grid(self, rows: int, cols: int, target: Target) -> Table:
        row_sizes = cut(rows, target.crossbar.rows, self.style)
        col_sizes = cut(cols, target.crossbar.columns, self.style)
        row, col = np.meshgrid(np.arange(len(row_sizes)), np.arange(len(col_sizes)), indexing="ij")
        grid = np.zeros(row.size, BLOCK)
        grid["rows"] = row_sizes[row.ravel()]
        grid["cols"] = col_sizes[col.ravel()]
        grid["row"] = (np.cumsum(row_sizes) - row_sizes)[row.ravel()]
        grid["col"] = (np.cumsum(col_sizes) - col_sizes)[col.ravel()]
        return grid


def cut(length: int, limit: int, style: Style) -> NDArray[np.int64]:
    """Sizes of the pieces of `length` lines, none over `limit`, and as few as can be.

    ``balanced`` is the rule of AIHWKIT and AIHWKIT-Lightning: the first pieces are one longer.
    """
    pieces = -(-length // limit)
    if style == "balanced":
        size, longer = divmod(length, pieces)
        return np.asarray([size + 1] * longer + [size] * (pieces - longer))
    return np.asarray([limit] * (pieces - 1) + [length - limit * (pieces - 1)])


def _stamp(grid: Table, groups: NDArray[np.int32], copies: int) -> Table:
    blocks = np.tile(grid, len(groups) * copies)
    blocks["group"] = np.repeat(groups, len(grid) * copies)
    blocks["copy"] = np.tile(np.repeat(np.arange(copies), len(grid)), len(groups))
    return blocks
