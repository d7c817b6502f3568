"""Where the blocks of one tile sit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afmc.passes.packing.demand import Counts


@dataclass(frozen=True, order=True)
class Seat:
    """A block of a type at a row and a column of a tile."""

    type: int
    row: int
    col: int


Layout = tuple[Seat, ...]


def counts_of(layout: Layout, types: int) -> Counts:
    """[types], blocks of each."""
    return np.bincount([seat.type for seat in layout], minlength=types).astype(np.int64)


def diagonal(counts: Sequence[int], shapes: Counts) -> Layout:
    """Down the diagonal, so that no row and no column is used twice."""
    seats = []
    row = col = 0
    for of_type, count in enumerate(counts):
        for _ in range(count):
            seats.append(Seat(of_type, row, col))
            row += int(shapes[of_type][0])
            col += int(shapes[of_type][1])
    return tuple(seats)


def grid(of_type: int, most: int, shapes: Counts, tile: tuple[int, int]) -> Layout:
    """As many blocks of one type as fit in rows and columns, up to `most`."""
    rows, cols = shapes[of_type].tolist()
    seats = [
        Seat(of_type, row, col)
        for row in range(0, tile[0] - rows + 1, rows)
        for col in range(0, tile[1] - cols + 1, cols)
    ]
    return tuple(seats[:most])
