"""Good layouts of a tile: those that come from cutting it straight through, again and again.

The most valuable one is found by dynamic programming over the plates that cuts leave (Gilmore and
Gomory 1966; Beasley 1985). Levels, shelves and strips are among these layouts. Cuts are only made
where sums of block sizes end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.layouts import Layout, Seat

_LINES = 64  # places to cut along either side; beyond it sums of fewer different sizes are taken

_SEAT, _ACROSS, _DOWN, _NARROWER, _LOWER = range(5)


@dataclass(frozen=True, eq=False)
class Raster:
    """Where cuts may be, along rows and along columns; 0 is the first."""

    rows: Counts
    cols: Counts

    @classmethod
    def of(cls, shapes: Counts, most: Counts, tile: tuple[int, int]) -> Raster:
        return cls(*(_places(shapes[:, k], most, tile[k]) for k in (0, 1)))

    def row(self, size: int) -> int:
        """The last place that is not beyond `size`."""
        return int(np.searchsorted(self.rows, size, side="right")) - 1

    def col(self, size: int) -> int:
        return int(np.searchsorted(self.cols, size, side="right")) - 1

    @cached_property
    def across(self) -> list[Counts]:
        """For plates of each height, the cuts between rows, [cuts, 2]: the parts they leave."""
        return [_cuts(self.rows, row) for row in range(len(self.rows))]

    @cached_property
    def down(self) -> list[Counts]:
        """For plates of each width, the cuts between columns."""
        return [_cuts(self.cols, col) for col in range(len(self.cols))]


def most_valuable(raster: Raster, shapes: Counts, values: list[int]) -> tuple[Layout, int]:
    """A guillotine layout and its value, with any number of blocks of each type."""
    best = np.zeros((len(raster.rows), len(raster.cols)), np.int64)
    how = np.full((*best.shape, 2), -1, np.int64)
    for of_type, (rows, cols) in enumerate(shapes.tolist()):
        large = np.s_[raster.row(rows) :, raster.col(cols) :]
        better = best[large] < values[of_type]
        best[large][better] = values[of_type]
        how[large][better] = (_SEAT, of_type)
    for row in range(1, best.shape[0]):
        if len(raster.across[row]):
            first, second = raster.across[row].T
            total = best[first] + best[second]
            which = total.argmax(axis=0)
            found = total.max(axis=0)
            better = found > best[row]
            best[row][better] = found[better]
            how[row][better] = np.stack([np.full(better.sum(), _ACROSS), first[which[better]]], 1)
        line = best[row]
        for col in range(1, best.shape[1]):
            if len(raster.down[col]):
                first, second = raster.down[col].T
                sums = line[first] + line[second]
                cut = int(sums.argmax())
                if sums[cut] > line[col]:
                    line[col] = sums[cut]
                    how[row, col] = _DOWN, first[cut]
            if line[col - 1] > line[col]:
                line[col] = line[col - 1]
                how[row, col] = _NARROWER, col - 1
            if best[row - 1, col] > line[col]:
                line[col] = best[row - 1, col]
                how[row, col] = _LOWER, row - 1
    return tuple(_read(raster, how)), int(best[-1, -1])


def _read(raster: Raster, how: NDArray[np.int64]) -> Iterator[Seat]:
    """The blocks of the layout, from the top left."""
    last = (how.shape[0] - 1, how.shape[1] - 1)
    plates = [(*last, 0, 0)]
    while plates:
        row, col, top, left = plates.pop()
        kind, which = how[row, col].tolist()
        if kind == _SEAT:
            yield Seat(which, top, left)
        elif kind == _ACROSS:
            height = int(raster.rows[which])
            rest = raster.row(int(raster.rows[row]) - height)
            plates += [(rest, col, top + height, left), (which, col, top, left)]
        elif kind == _DOWN:
            width = int(raster.cols[which])
            rest = raster.col(int(raster.cols[col]) - width)
            plates += [(row, rest, top, left + width), (row, which, top, left)]
        elif kind == _NARROWER:
            plates.append((row, which, top, left))
        elif kind == _LOWER:
            plates.append((which, col, top, left))


def _cuts(places: Counts, size: int) -> Counts:
    """Each cut once: the first part is the smaller one, the second ends where a cut may be."""
    first = np.arange(1, size)
    first = first[2 * places[first] <= places[size]]
    rest = np.searchsorted(places, places[size] - places[first], side="right") - 1
    return np.stack([first, rest], axis=1)


def sums(sizes: Counts, most: Counts, length: int) -> list[Counts]:
    """Lengths up to `length` that blocks laid end to end have: of one size, of two sizes, ..."""
    needed: dict[int, int] = {}
    for size, count in zip(sizes.tolist(), most.tolist(), strict=True):
        needed[size] = needed.get(size, 0) + count
    reached = np.zeros((len(needed) + 1, length + 1), np.bool_)
    reached[:, 0] = True
    for size, count in sorted(needed.items()):
        for terms in range(len(needed), 0, -1):
            fewer = reached[terms - 1].copy()
            for times in range(1, min(count, length // size) + 1):
                reached[terms, times * size :] |= fewer[: length + 1 - times * size]
    return [np.flatnonzero(each).astype(np.int64) for each in reached[1:]]


def _places(sizes: Counts, most: Counts, length: int) -> Counts:
    """As many of the sums as are still few enough."""
    by_terms = sums(sizes, most, length)
    few = [places for places in by_terms if len(places) <= _LINES]
    if few:
        return few[-1]
    places = by_terms[0]  # many small blocks: every few lines, and each size by itself
    thinned = places[:: -(-len(places) // _LINES)]
    return np.unique(np.concatenate([thinned, sizes, places[-1:]]))
