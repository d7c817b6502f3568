"""Orthogonal matrices that spread a vector over all channels: from Hadamard matrices, or drawn."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def rotation(size: int, seed: int | tuple[int, ...], *, keeps_ones: bool = False) -> Matrix:
    """An orthogonal Q [size, size], the same for the same seed: vectors become ``x @ Q``.

    A Hadamard matrix with drawn signs where one of this size is known, else a drawn orthogonal
    matrix. `keeps_ones`: ``Q @ 1 = 1``, so that the mean over channels stays what it is.
    """
    draw = np.random.default_rng(seed)
    base = hadamard(size)
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


def hadamard(size: int) -> Matrix | None:
    """A Hadamard matrix [size, size] of 1 and -1, or None where no construction gives one.

    Sizes are P * 2^k with P = 1, q + 1 for a prime q = 3 mod 4 (Paley I), or 2 (q + 1) for a prime
    q = 1 mod 4 (Paley II); the smallest such P is taken.
    """
    base = base_of(size)
    if base is None:
        return None
    found = _base(base)
    while len(found) < size:
        found = np.block([[found, found], [found, -found]])
    return found


def base_of(size: int) -> int | None:
    """The P of a size P * 2^k that `hadamard` builds on, or None."""
    doublings = (size & -size).bit_length() - 1 if size > 0 else -1
    for k in range(doublings, -1, -1):
        if _is_base(size >> k):
            return size >> k
    return None


def _is_base(order: int) -> bool:
    return order == 1 or _paley_1(order) or _paley_2(order)


def _paley_1(order: int) -> bool:
    return order % 4 == 0 and _is_prime(order - 1)


def _paley_2(order: int) -> bool:
    return order % 4 == 0 and (order // 2 - 1) % 4 == 1 and _is_prime(order // 2 - 1)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


@cache
def _base(order: int) -> Matrix:
    if order == 1:
        return np.ones((1, 1))
    ones = np.ones((1, 1))
    if _paley_1(order):
        row = np.ones((1, order - 1))
        return np.eye(order) + np.block([[0 * ones, row], [-row.T, _jacobsthal(order - 1)]])
    row = np.ones((1, order // 2 - 1))
    conference = np.block([[0 * ones, row], [row.T, _jacobsthal(order // 2 - 1)]])
    signs, diagonal = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, -1.0], [-1.0, -1.0]])
    return np.kron(conference, signs) + np.kron(np.eye(order // 2), diagonal)


def _jacobsthal(prime: int) -> Matrix:
    """[i, j]: 1 where i - j is a square modulo the prime, -1 where it is none, 0 where i = j."""
    character = np.full(prime, -1.0)
    character[np.arange(1, prime, dtype=np.int64) ** 2 % prime] = 1
    character[0] = 0
    places = np.arange(prime)
    return character[(places[:, None] - places) % prime]


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
