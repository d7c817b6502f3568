"""The largest bound that dual feasible functions give for blocks that must not overlap.

A function f of sizes between 0 and 1 is dual feasible if sizes that add up to at most 1 have values
that do, too. Products of two, one of rows and one of columns, weigh rectangles so that those of a
tile weigh at most 1: the weight of all blocks is a bound on the tiles (Fekete and Schepers,
Mathematical Methods of Operations Research 60, 2004, whose three families these are).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Sizes = NDArray[np.int64]
Values = NDArray[np.float64]

_ROUNDINGS = range(1, 21)
_MOST = 2_000_000_000
"""Multiplications up to which it is worked out."""
_ROUNDED = 1e-9
"""Sums of a few thousand terms are as exact as this."""


def largest(size: Sizes, times: Sizes, tile: tuple[int, int]) -> int | None:
    """Tiles that these blocks take at least, by the best product of two functions.

    `size` is [kinds, 2], rows and columns; None where there are too many kinds to work it out.
    """
    if not len(size):
        return 0
    functions = 2 * len(_ROUNDINGS) + 16 * len(size)
    if functions * functions * len(size) > _MOST:
        return None
    rows, cols = (np.stack([*_functions(size[:, k], tile[k])]) for k in (0, 1))
    weight = float(((rows * times) @ cols.T).max())
    return math.ceil(weight * (1 - _ROUNDED))


def _functions(sizes: Sizes, whole: int) -> Iterator[Values]:
    """Values of every function that may matter at these sizes."""
    share = sizes / whole
    yield share
    for k in _ROUNDINGS:
        pieces, rest = np.divmod((k + 1) * sizes, whole)
        yield np.where(rest == 0, share, pieces / k)
    edges = np.unique([sizes, sizes + 1, whole - sizes, whole - sizes + 1])
    for least in edges[(edges > 0) & (2 * edges <= whole)].tolist():
        yield np.where(sizes < least, 0.0, np.where(whole - sizes < least, 1.0, share))
        fit = whole // least
        large = 1 - ((whole - sizes) // least) / fit
        yield np.where(2 * sizes > whole, large, np.where(sizes >= least, 1 / fit, 0.0))
