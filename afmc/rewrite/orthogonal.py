"""Orthogonal matrices that spread a vector over all channels: from Hadamard matrices, or drawn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from afmc.program.rotation import hadamard, rotation_of

Matrix = NDArray[np.float64]


def rotation(size: int, seed: int | tuple[int, ...], *, keeps_ones: bool = False) -> Matrix:
    """An orthogonal Q [size, size], the same for the same seed: vectors become ``x @ Q``.

    A Hadamard matrix with drawn signs where one of this size is known, else a drawn orthogonal
    matrix. `keeps_ones`: ``Q @ 1 = 1``, so that the mean over channels stays what it is.
    """
    draw = np.random.default_rng(seed)
    base = spread(size)
    if not keeps_ones:
        if base is None:
            return _drawn(size, draw)
        return draw.choice([-1.0, 1.0], (size, 1)) * base / math.sqrt(size)
    if size == 1:
        return np.ones((1, 1))
    first, inner = _ones_first(size, base), np.eye(size)
    if base is None:
        inner[1:, 1:] = _drawn(size - 1, draw)
    else:
        inner[1:, 1:] = inner[1:, 1:][draw.permutation(size - 1)]
        inner[1:] *= draw.choice([-1.0, 1.0], (size - 1, 1))
    return first @ inner @ first.T


def spread(size: int) -> Matrix | None:
    """A Hadamard matrix [size, size] of 1 and -1, or None where no construction gives one."""
    known = rotation_of(size)
    if known is None or not all(factor.hadamard for factor in known.factors):
        return None
    found: Matrix = np.ones((1, 1))
    for factor in known.factors:
        found = np.asarray(np.kron(found, hadamard(factor.size)), np.float64)
    return found


def _drawn(size: int, draw: np.random.Generator) -> Matrix:
    q, r = np.linalg.qr(draw.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _ones_first(size: int, base: Matrix | None) -> Matrix:
    """An orthogonal matrix whose first column has equal entries."""
    if base is not None:
        return base[:, :1] * base / math.sqrt(size)
    column = np.full(size, 1 / math.sqrt(size))
    column[0] -= 1
    return np.eye(size) - 2 * np.outer(column, column) / (column @ column)
