"""One tile filled greedily, block after block, with as many of each type as there are.

Each block goes to the corner of the free rectangle that it fits most snugly; what is left free is
kept as all the largest rectangles within it (Jylanki, A Thousand Ways to Pack the Bin, 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.layouts import Layout, Seat, counts_of

Box = tuple[int, int, int, int]
"""First row, first column, and the ones after the last."""


def fill(order: Sequence[int], left: Counts, shapes: Counts, tile: tuple[int, int]) -> Layout:
    """Types in this order, of each as many blocks as fit and are left."""
    free: list[Box] = [(0, 0, *tile)]
    seats = []
    for of_type in order:
        rows, cols = shapes[of_type].tolist()
        for _ in range(int(left[of_type])):
            place = _snuggest(free, rows, cols)
            if place is None:
                break
            row, col = place
            seats.append(Seat(of_type, row, col))
            free = _without(free, (row, col, row + rows, col + cols))
    return tuple(seats)


def greedy_answers(shapes: Counts, demand: Counts, tile: tuple[int, int]) -> Iterator[list[Layout]]:
    """Layouts that hold the demand when repeated, largest blocks first, by several measures."""
    rows, cols = shapes.T
    for size in (rows * cols, rows, cols, np.maximum(rows, cols), rows + cols):
        order = np.argsort(-size, kind="stable").tolist()
        left, layouts = demand.copy(), []
        while left.any():
            layout = fill(order, left, shapes, tile)
            counts = counts_of(layout, len(shapes))
            held = counts > 0
            left -= counts * (left[held] // counts[held]).min()
            layouts.append(layout)
        yield layouts


def _snuggest(free: list[Box], rows: int, cols: int) -> tuple[int, int] | None:
    """The corner that leaves the shortest side."""
    best: tuple[int, int, int, int] | None = None
    for top, left, bottom, right in free:
        tall, wide = bottom - top - rows, right - left - cols
        if tall >= 0 and wide >= 0:
            rank = (min(tall, wide), max(tall, wide), top, left)
            best = rank if best is None else min(best, rank)
    return None if best is None else best[2:]


def _without(free: list[Box], used: Box) -> list[Box]:
    """The largest free rectangles once `used` is taken."""
    top, left, bottom, right = used
    parts: list[Box] = []
    for box in free:
        if box[0] >= bottom or box[2] <= top or box[1] >= right or box[3] <= left:
            parts.append(box)
            continue
        around = (
            (box[0], box[1], top, box[3]),
            (bottom, box[1], box[2], box[3]),
            (box[0], box[1], box[2], left),
            (box[0], right, box[2], box[3]),
        )
        parts += [part for part in around if part[0] < part[2] and part[1] < part[3]]
    distinct = sorted(set(parts))
    return [box for box in distinct if not any(_inside(box, o) for o in distinct if o != box)]


def _inside(box: Box, other: Box) -> bool:
    return other[0] <= box[0] and other[1] <= box[1] and other[2] >= box[2] and other[3] >= box[3]
