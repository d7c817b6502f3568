"""Fewest tiles, whatever the layout: by area, and by dual feasible functions.

A dual feasible function f turns sizes x between 0 and 1 into weights so that sizes that fit into
1 together have weights that do: sum x <= 1 implies sum f(x) <= 1. Products of two of them, one for
rows and one for columns, are weights of rectangles: those of one tile add up to at most 1
(Fekete and Schepers, Mathematical Methods of Operations Research 60, 2004). The weight of all
blocks is then a bound on the tiles. Everything is exact, in integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from afmc.passes.packing.demand import Counts, Demand

_STEPS = 20  # of the rounding functions; finer ones are hardly above the area


@dataclass(frozen=True)
class Weights:
    """What each type weighs, so that those of a tile weigh no more than `of_a_tile`."""

    by_type: tuple[int, ...]
    of_a_tile: int

    def bound(self, demand: Demand) -> int:
        """Fewest tiles."""
        return -(-demand.least(self.by_type) // self.of_a_tile)


def area(shapes: Counts, tile: tuple[int, int]) -> Weights:
    """Shapes are [types, 2], rows then columns."""
    return Weights(tuple(shapes.prod(axis=1).tolist()), tile[0] * tile[1])


def dual_feasible(shapes: Counts, tile: tuple[int, int]) -> list[Weights]:
    """Products of two functions, for blocks that do not overlap."""
    of_rows, of_cols = (_functions(shapes[:, k].tolist(), tile[k]) for k in (0, 1))
    products = {
        Weights(
            tuple(a * b for a, b in zip(rows.by_type, cols.by_type, strict=True)),
            rows.of_a_tile * cols.of_a_tile,
        )
        for rows in of_rows
        for cols in of_cols
    }
    return _undominated(products)


def dual_feasible_lines(shapes: Counts, tile: tuple[int, int]) -> list[Weights]:
    """One function alone, for blocks of which no two share a row, or no two a column."""
    return [each for k in (0, 1) for each in _functions(shapes[:, k].tolist(), tile[k])]


def best(weights: Iterable[Weights], demand: Demand) -> int:
    return max((each.bound(demand) for each in weights), default=0)


def _functions(sizes: list[int], length: int) -> list[Weights]:
    """Fekete and Schepers' three families at the sizes that occur, without doubles."""
    found = {_common(values) for values in _families(sizes, length)}
    return sorted(found, key=lambda each: (each.of_a_tile, each.by_type))


def _families(sizes: list[int], length: int) -> Iterator[list[Fraction]]:
    yield [Fraction(x, length) for x in sizes]
    for k in range(1, _STEPS + 1):
        yield [_rounded(x, length, k) for x in sizes]
    # Only where a size or its complement crosses the threshold do the other two change.
    edges = {edge for x in sizes for edge in (x, x + 1, length - x, length - x + 1)}
    for least in sorted(edge for edge in edges if 0 < edge <= length // 2):
        yield [_with_the_small_left_out(x, length, least) for x in sizes]
        yield [_large_by_what_is_left(x, length, least) for x in sizes]


def _rounded(x: int, length: int, k: int) -> Fraction:
    """Down to k-ths, but not what is a whole number of (k+1)-ths."""
    pieces, rest = divmod((k + 1) * x, length)
    return Fraction(x, length) if rest == 0 else Fraction(pieces, k)


def _with_the_small_left_out(x: int, length: int, least: int) -> Fraction:
    """What leaves no room for `least` takes it all."""
    return Fraction(0) if x < least else Fraction(1) if length - x < least else Fraction(x, length)


def _large_by_what_is_left(x: int, length: int, least: int) -> Fraction:
    """A size above one half by how many of `least` fit beside it."""
    fit = length // least
    if 2 * x > length:
        return 1 - Fraction((length - x) // least, fit)
    return Fraction(1, fit) if x >= least else Fraction(0)


def _common(values: list[Fraction]) -> Weights:
    """As integers over a common denominator."""
    whole = math.lcm(*(value.denominator for value in values))
    return Weights(tuple(int(value * whole) for value in values), whole)


def _undominated(products: set[Weights]) -> list[Weights]:
    """Without those that weigh every type no more than another does, the heaviest first."""
    ordered = sorted(products, key=lambda each: (each.of_a_tile, each.by_type))
    shares = np.asarray([[w / each.of_a_tile for w in each.by_type] for each in ordered])
    heaviest_first = np.lexsort([np.arange(len(ordered)), -shares.sum(axis=1)])
    kept: list[int] = []
    for index in heaviest_first.tolist():
        if not (shares[kept] >= shares[index]).all(axis=1).any():
            kept.append(index)
    return [ordered[index] for index in kept]
