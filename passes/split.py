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
        grids = {
            shape: self._grid(*shape, target)
            for shape in {(group.rows, group.cols) for group in program.groups}
        }
        sizes = [group.copies * len(grids[group.rows, group.cols]) for group in program.groups]
        blocks = np.zeros(sum(sizes), BLOCK)
        start = 0
        for index, (group, size) in enumerate(zip(program.groups, sizes, strict=True)):
            mine = blocks[start : start + size].reshape(group.copies, -1)
            mine[:] = grids[group.rows, group.cols]
            mine["group"], mine["copy"] = index, np.arange(group.copies)[:, None]
            start += size
        return replace(program, blocks=blocks)

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
