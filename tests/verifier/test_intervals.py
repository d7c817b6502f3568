"""Rectangles that meet, against painting and against every pair."""

from __future__ import annotations

from itertools import combinations
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from afmc.verifier import intervals
from afmc.verifier.intervals import (
    Rectangles,
    broken_chains,
    clashing_lines,
    find_overlap,
    first_gap,
    key_of,
    numbered,
)

FAR = 2**31 - 1

Rectangle = tuple[int, int, int, int, int]


def rectangles(least: int = -2, most: int = 6) -> st.SearchStrategy[list[Rectangle]]:
    place, size = st.integers(least, most), st.integers(1, 4)
    return st.lists(st.tuples(st.integers(0, 2), place, place, size, size), min_size=1, max_size=12)


def columns(of: list[Rectangle]) -> Rectangles:
    return Rectangles(*np.asarray(of, np.int64).T)


def cells(one: Rectangle) -> set[tuple[int, int]]:
    _, row, col, rows, cols = one
    return {(r, c) for r in range(row, row + rows) for c in range(col, col + cols)}


@settings(max_examples=examples(200))
@given(rectangles(), st.sampled_from([1, 3, 1 << 21]))
def test_overlaps_are_those_of_every_pair(of: list[Rectangle], at_a_time: int) -> None:
    meeting = [
        (i, j)
        for (i, one), (j, other) in combinations(enumerate(of), 2)
        if one[0] == other[0] and cells(one) & cells(other)
    ]
    with mock.patch.object(intervals, "_PAIRS", at_a_time):
        found = find_overlap(columns(of))
    if found is None:
        assert not meeting
        return
    assert (found.one, found.other) in meeting
    assert (found.row, found.col) == min(cells(of[found.one]) & cells(of[found.other]))
    assert found.pairs <= len(meeting)
    assert found.pairs == len(meeting) or not found.complete


def test_what_only_touches_does_not_overlap() -> None:
    assert find_overlap(columns([(0, 0, 0, 2, 2), (0, 2, 0, 2, 2), (0, 0, 2, 4, 1)])) is None
    assert find_overlap(columns([(0, 0, 0, 2, 2), (1, 0, 0, 2, 2)])) is None  # other fields
    found = find_overlap(columns([(0, FAR, FAR, FAR, FAR), (0, FAR, FAR, 1, 1)]))
    assert found is not None and (found.row, found.col) == (FAR, FAR)


@st.composite
def cut(draw: st.DrawFn) -> list[Rectangle]:
    """A field of 5 x 6, cut by a saw along rows and columns again and again; or nearly so."""
    pieces: list[Rectangle] = [(0, 0, 0, 5, 6)]
    for _ in range(draw(st.integers(0, 6))):
        field, row, col, rows, cols = pieces.pop(draw(st.integers(0, len(pieces) - 1)))
        if draw(st.booleans()) and rows > 1:
            at = draw(st.integers(1, rows - 1))
            pieces += [(field, row, col, at, cols), (field, row + at, col, rows - at, cols)]
        elif cols > 1:
            at = draw(st.integers(1, cols - 1))
            pieces += [(field, row, col, rows, at), (field, row, col + at, rows, cols - at)]
        else:
            pieces.append((field, row, col, rows, cols))
    if len(pieces) > 1 and draw(st.booleans()):
        del pieces[draw(st.integers(0, len(pieces) - 1))]
    elif draw(st.booleans()):
        index, field = draw(st.integers(0, len(pieces) - 1)), draw(st.integers(1, 4))
        changed = list(pieces[index])
        changed[field] = max(changed[field] + draw(st.sampled_from([-1, 1])), field > 2)
        pieces[index] = tuple(changed)  # type: ignore[assignment]
    return draw(st.permutations(pieces))


@settings(max_examples=examples(200))
@given(cut())
def test_chains_are_unbroken_exactly_where_strips_cover_the_field(of: list[Rectangle]) -> None:
    broken = broken_chains(columns(of), np.asarray([5]), np.asarray([6]))
    painted = [cell for one in of for cell in cells(one)]
    once = sorted(painted) == [(r, c) for r in range(5) for c in range(6)]
    strips: dict[tuple[int, int], int] = {}
    for _, row, _, rows, cols in of:
        strips[row, rows] = strips.get((row, rows), 0) + cols
    assert (len(broken) == 0) == (once and set(strips.values()) == {6})


@settings(max_examples=examples(200))
@given(rectangles(), st.integers(1, 6), st.integers(1, 6))
def test_the_first_gap_is_the_first_cell_that_is_not_painted(
    of: list[Rectangle], height: int, width: int
) -> None:
    painted = set().union(*map(cells, of))
    left = [(r, c) for r in range(height) for c in range(width) if (r, c) not in painted]
    assert first_gap(columns(of), height, width) == (left[0] if left else None)


LINES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(1, 3), st.integers(0, 1)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=examples(200))
@given(LINES)
def test_clashes_are_found_where_any_pair_clashes(of: list[tuple[int, int, int, int]]) -> None:
    def clash(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        meet = one[1] < other[1] + other[2] and other[1] < one[1] + one[2]
        return one[0] == other[0] and meet and one[1:] != other[1:]

    found = clashing_lines(*np.asarray(of, np.int64).T)
    pairs = {(i, j) for i, j in combinations(range(len(of)), 2) if clash(of[i], of[j])}
    assert bool(len(found)) == bool(pairs)
    assert {tuple(sorted(pair)) for pair in found.tolist()} <= pairs


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*(st.sampled_from([-FAR, -1, 0, 1, FAR]) for _ in range(4))),
        min_size=1,
        max_size=8,
    )
)
def test_keys_are_ordered_as_the_rows_of_the_columns_are(rows: list[tuple[int, ...]]) -> None:
    table = np.asarray(rows, np.int64).T
    key = key_of(*table).tolist()
    for (a, one), (b, other) in combinations(zip(key, rows, strict=True), 2):
        assert (a < b, a == b) == (one < other, one == other)
    number, first = numbered(*table)
    assert [rows[i] for i in first] == sorted(set(rows))
    assert [rows[first[n]] for n in number] == rows
