"""Where on a crossbar the rows and columns of a block are, when these do not follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Lines:
    """The physical row of every row of a block, and the physical column of every column.

    Tensors are [cols, rows]: in the order of the matrix, or of the crossbar, ascending. One column
    by itself (a reference) stays where it is.
    """

    rows: Numbers
    cols: Numbers

    @cached_property
    def in_order(self) -> bool:
        """Whether they follow each other."""
        return all(bool((np.diff(each) == 1).all()) for each in (self.rows, self.cols))

    @cached_property
    def _ascending(self) -> tuple[Tensor, Tensor]:
        return _order(self.cols), _order(self.rows)

    @cached_property
    def _back(self) -> tuple[Tensor, Tensor]:
        cols, rows = self._ascending
        return torch.argsort(cols), torch.argsort(rows)

    def to_crossbar(self, by_matrix: Tensor) -> Tensor:
        return by_matrix if self.in_order else _arrange(by_matrix, *self._ascending)

    def to_matrix(self, by_crossbar: Tensor) -> Tensor:
        return by_crossbar if self.in_order else _arrange(by_crossbar, *self._back)

    def columns_to_crossbar(self, by_matrix: Tensor) -> Tensor:
        """[cols]"""
        return by_matrix[self._ascending[0]]

    def columns_to_matrix(self, by_crossbar: Tensor) -> Tensor:
        """[cols]"""
        return by_crossbar[self._back[0]]

    def spread(self, by_crossbar: Tensor, idle: float) -> Tensor:
        """With what is between the first and the last of its lines, which holds `idle`."""
        cols, rows = self._from_first(len(by_crossbar))
        wide = by_crossbar.new_full((int(cols[-1]) + 1, int(rows[-1]) + 1), idle)
        wide[cols.unsqueeze(1), rows] = by_crossbar
        return wide

    def gather(self, wide: Tensor) -> Tensor:
        """The block's own lines, of what `spread` made."""
        cols, rows = self._from_first(len(wide))
        return wide[cols.unsqueeze(1), rows]

    def _from_first(self, cols: int) -> tuple[Tensor, Tensor]:
        """Its lines, ascending, from the first on; of one column (a reference) that one."""
        by_column, by_row = (
            torch.from_numpy(np.sort(each) - each.min()).long() for each in (self.cols, self.rows)
        )
        return by_column[:cols], by_row


def _order(lines: Numbers) -> Tensor:
    return torch.from_numpy(np.argsort(lines, kind="stable"))


def _arrange(table: Tensor, cols: Tensor, rows: Tensor) -> Tensor:
    return (table if len(table) == 1 else table[cols])[:, rows]
