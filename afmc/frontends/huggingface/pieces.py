"""Which stored tensors a matrix is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredPiece:
    """A rectangle of one copy of a matrix, or of several, as a tensor holds it."""

    tensor: str
    copies: range
    """Copies of the matrix."""
    stacked: bool
    """Whether the tensor has a dimension before the other two, which counts the copies."""
    row: int
    """First row of the matrix, and first column."""
    col: int
    rows: int
    cols: int
    transposed: bool
    """Whether the tensor is [cols, rows]."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one copy in the tensor."""
        return (self.cols, self.rows) if self.transposed else (self.rows, self.cols)


Pieces = Mapping[str, tuple[StoredPiece, ...]]
