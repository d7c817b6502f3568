"""Columns of whole numbers as short lists for the page, whose script unpacks them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def runs(values: NDArray[Any]) -> list[int]:
    """``[7, 3, 0, 2]`` for 7, 7, 7, 0, 0: each value, and how often it comes in a row."""
    if not len(values):
        return []
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    counts = np.diff(starts, append=len(values))
    return [int(each) for pair in zip(values[starts], counts, strict=True) for each in pair]


def steps(values: NDArray[Any]) -> list[int]:
    """The runs of the differences from one value to the next, the first from 0."""
    return runs(np.diff(values.astype(np.int64), prepend=0))
