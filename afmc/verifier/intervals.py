"""Which rectangles meet: sorted intervals, without a loop over rectangles.

A *field* is what rectangles lie in, a matrix or a crossbar, by number. All columns are 64-bit whole
numbers that came from 32-bit tables, so that sums of them are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PAIRS = 1 << 21
"""Pairs that are compared at a time, 2 million: some 100 MB."""


@dataclass(frozen=True)
class Rectangles:
    """Rows `row` to `row + rows - 1` and columns `col` to `col + cols - 1` of a field, by column.

    None is empty.
    """

    field: Numbers
    row: Numbers
    col: Numbers
    rows: Numbers
    cols: Numbers

    def of(self, chosen: Flags) -> Rectangles:
        columns = (self.field, self.row, self.col, self.rows, self.cols)
        return Rectangles(*(column[chosen] for column in columns))


@dataclass(frozen=True)
class Overlap:
    """Two rectangles that hold the same cell, and the first such cell."""

    one: int
    other: int
    row: int
    col: int
    pairs: int
    """Pairs that were found; more may follow where `complete` is false."""
    complete: bool


def key_of(*columns: Numbers) -> Numbers:
    """One number for each row of the columns, ordered as the rows are."""
    key, span = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low, high = int(column.min(initial=0)), int(column.max(initial=0))
        if span * (high - low + 1) >= 2**63:
            values, key = np.unique(key, return_inverse=True)
            span = len(values)
        key = key * (high - low + 1) + (column - low)
        span *= high - low + 1
    return key


def numbered(*columns: Numbers) -> tuple[Numbers, Numbers]:
    """A number from 0 for each distinct row of the columns, and where each of them comes first."""
    _, first, number = np.unique(key_of(*columns), return_index=True, return_inverse=True)
    return number, first


def find_overlap(of: Rectangles) -> Overlap | None:
    """The first overlap within a field.

    Sweeps along the axis on which fewer pairs meet, so that only those are compared.
    """
    sweeps = [
        _Sweep.along(of.field, of.row, of.rows),
        _Sweep.along(of.field, of.col, of.cols),
    ]
    by_row = sweeps[0].pairs <= sweeps[1].pairs
    sweep = sweeps[0] if by_row else sweeps[1]
    start, size = (of.col, of.cols) if by_row else (of.row, of.rows)
    end = start + size
    seen = 0
    for one, other in sweep.chunks():
        seen += len(one)
        meet = np.flatnonzero((start[one] < end[other]) & (start[other] < end[one]))
        if len(meet):
            a, b = sorted((int(one[meet[0]]), int(other[meet[0]])))
            return Overlap(
                a,
                b,
                int(max(of.row[a], of.row[b])),
                int(max(of.col[a], of.col[b])),
                len(meet),
                complete=seen == sweep.pairs,
            )
    return None


@dataclass(frozen=True)
class _Sweep:
    """Pairs that meet on one axis: each rectangle with those that begin before it ends."""

    order: Numbers
    """Rectangles by field, then by where they begin."""
    partners: Numbers
    """How many of those behind it, in that order, each one meets."""

    @classmethod
    def along(cls, field: Numbers, start: Numbers, size: Numbers) -> _Sweep:
        low = int(start.min(initial=0))
        span = int((start + size).max(initial=0)) - low + 1
        key = field * span + (start - low)  # no overflow: spans are below 2**33
        order = np.argsort(key, kind="stable")
        key = key[order]
        last = np.searchsorted(key, key + size[order], side="left")
        return cls(order, last - np.arange(1, len(key) + 1))

    @property
    def pairs(self) -> int:
        return int(self.partners.sum())

    def chunks(self) -> Iterator[tuple[Numbers, Numbers]]:
        until = np.cumsum(self.partners)
        begin = 0
        while begin < len(until):
            before = int(until[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(until, before + _PAIRS, side="right")), begin + 1)
            partners = self.partners[begin:end]
            first = np.repeat(np.arange(begin, end), partners)
            # 1, 2, ... behind each of them
            steps = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
            yield self.order[first], self.order[first + 1 + steps]
            begin = end


def broken_chains(of: Rectangles, height: Numbers, width: Numbers) -> Numbers:
    """The fields that are not cut into full-width strips of rows, each cut into columns.

    A field that is has every cell in exactly one rectangle. `height` and `width` are by field.
    Fields without any rectangle are not looked at.
    """
    if not len(of.field):
        return np.zeros(0, np.int64)
    order = np.argsort(key_of(of.field, of.row, of.col), kind="stable")
    field, row, col = of.field[order], of.row[order], of.col[order]
    rows, cols = of.rows[order], of.cols[order]
    right, below = col + cols, row + rows
    same_field = field[1:] == field[:-1]
    same_strip = same_field & (row[1:] == row[:-1])
    new_strip = same_field & ~same_strip
    wide = right == width[field]
    broken = np.empty(len(field), np.bool_)
    broken[0] = (row[0] != 0) | (col[0] != 0)
    broken[1:] = np.where(
        same_strip,
        (col[1:] != right[:-1]) | (rows[1:] != rows[:-1]),
        (col[1:] != 0) | np.where(new_strip, (row[1:] != below[:-1]) | ~wide[:-1], row[1:] != 0),
    )
    last = np.append(~same_field, True)
    broken |= last & ~(wide & (below == height[field]))
    return np.unique(field[broken])


def first_gap(of: Rectangles, height: int, width: int) -> tuple[int, int] | None:
    """Row and column of the first cell of one field that no rectangle holds."""
    edges = np.unique(np.concatenate([[0], of.row, of.row + of.rows]))
    for top in edges[(edges >= 0) & (edges < height)].tolist():
        across = (of.row <= top) & (top < of.row + of.rows)
        begin, size = of.col[across], of.cols[across]
        order = np.argsort(begin)
        end = np.maximum.accumulate(np.append(0, (begin + size)[order]))
        # where the next one begins, or the field ends, after all before it have ended
        gap = np.flatnonzero(np.append(np.minimum(begin[order], width), width) > end)
        if len(gap):
            return top, int(end[gap[0]])
    return None


def depths(field: Numbers, start: Numbers, size: Numbers) -> Numbers:
    """How many intervals of its field hold the place where each begins.

    The largest of a field is the most that any place of it is in.
    """
    low = int(start.min(initial=0))
    span = int((start + size).max(initial=0)) - low + 1
    begin = field * span + (start - low)
    # begun so far, less ended so far; those of earlier fields have done both
    begun = np.searchsorted(np.sort(begin), begin, side="right")
    ended = np.searchsorted(np.sort(begin + size), begin, side="right")
    return begun - ended


def clashing_lines(field: Numbers, start: Numbers, size: Numbers, signal: Numbers) -> Numbers:
    """Pairs [pairs, 2] of neighbours that share lines of a field without sharing their signal.

    Sharing is legal on exactly the same lines with the same `signal`. Not every such pair is in it,
    but one is if there is any.
    """
    order = np.argsort(key_of(field, start, size), kind="stable")
    one, other = order[:-1], order[1:]
    same_lines = (start[one] == start[other]) & (size[one] == size[other])
    legal = np.where(
        same_lines, signal[one] == signal[other], start[one] + size[one] <= start[other]
    )
    clash = (field[one] == field[other]) & ~legal
    return np.stack([one[clash], other[clash]], axis=1)
