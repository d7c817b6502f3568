"""Rotations of a matrix's input that are computed digitally: what they are, and what they cost.

A rotation R is orthogonal, so x W = (x R) (R^T W): the input converters see x R, whose values are
all of about the same size, and the tiles hold R^T W. Nothing is asked of the architecture.

Source: QuaRot (Ashkboos et al., NeurIPS 2024), SpinQuant (Liu et al., ICLR 2025); Hadamard matrices
by Sylvester's doubling and Paley's two constructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_LARGEST = 256
"""Largest factor that is no power of two; a larger one costs as much as a matrix."""

_DOUBLINGS = 8
"""Largest power of two that is one factor, as an exponent: products with small ones are fast."""


@dataclass(frozen=True)
class Factor:
    """An orthogonal matrix that a rotation is a Kronecker product of."""

    size: int
    hadamard: bool
    """Whether all its entries have one size, so that it takes additions alone."""

    @property
    def operations(self) -> int:
        """Additions, or else multiply-accumulates, for each value."""
        power_of_two = self.size & (self.size - 1) == 0
        return self.size.bit_length() - 1 if self.hadamard and power_of_two else self.size


@dataclass(frozen=True)
class Rotation:
    """Signs, then a Kronecker product of small orthogonal matrices."""

    size: int
    factors: tuple[Factor, ...]
    seed: int

    @property
    def additions(self) -> int:
        """Additions for one input."""
        return self.size * sum(each.operations for each in self.factors if each.hadamard)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input; none where all factors are Hadamard matrices."""
        return self.size * sum(each.operations for each in self.factors if not each.hadamard)

    def signs(self) -> NDArray[np.float32]:
        """[size], 1 or -1: without them a rotation gathers the mean of the values in the first."""
        drawn = np.random.Generator(np.random.PCG64(self.seed)).integers(0, 2, self.size)
        return (1 - 2 * drawn).astype(np.float32)

    def matrices(self) -> tuple[NDArray[np.float32], ...]:
        """Each factor, [size, size], orthogonal."""
        return tuple(
            (
                hadamard(each.size) / np.sqrt(each.size) if each.hadamard else _cosines(each.size)
            ).astype(np.float32)
            for each in self.factors
        )


def rotation_of(size: int, seed: int = 0) -> Rotation | None:
    """The cheapest rotation of vectors of this size; None for one as dear as a matrix.

    A Hadamard matrix of a multiple of 4 times a power of two, or else cosines for the odd part.
    """
    doublings = (size & -size).bit_length() - 1
    odd = size >> doublings
    if odd == 1:
        return Rotation(size, _sylvester(doublings), seed)
    for more in range(2, doublings + 1):
        order = odd << more
        if order <= _LARGEST and _paley(order) is not None:
            return Rotation(size, (Factor(order, True), *_sylvester(doublings - more)), seed)
    if odd <= _LARGEST:
        return Rotation(size, (Factor(odd, False), *_sylvester(doublings)), seed)
    return None


def _sylvester(doublings: int) -> tuple[Factor, ...]:
    """Factors of 2 ** doublings of about one size."""
    count = -(-doublings // _DOUBLINGS)
    return tuple(Factor(1 << (doublings + i) // count, True) for i in range(count))


def _paley(order: int) -> tuple[int, int] | None:
    """The prime, and which of the two constructions gives a Hadamard matrix of this order."""
    if _is_prime(order - 1) and order % 4 == 0:
        return order - 1, 1
    half = order // 2
    if order % 4 == 0 and _is_prime(half - 1) and half % 4 == 2:
        return half - 1, 2
    return None


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % each for each in range(2, int(number**0.5) + 1))


@cache
def hadamard(order: int) -> NDArray[np.float64]:
    """[order, order] of 1 and -1, whose rows are orthogonal."""
    if order & (order - 1) == 0:
        found = np.ones((1, 1))
        while len(found) < order:
            found = np.block([[found, found], [found, -found]])
        return found
    paley = _paley(order)
    assert paley is not None
    prime, construction = paley
    residues = {i * i % prime for i in range(1, prime)}
    character = np.array([0, *(1 if i in residues else -1 for i in range(1, prime))])
    steps = np.arange(prime)
    jacobsthal = character[(steps[:, None] - steps) % prime].astype(np.float64)
    bordered = np.zeros((prime + 1, prime + 1))
    bordered[0, 1:], bordered[1:, 0] = 1, 1 if construction == 2 else -1
    bordered[1:, 1:] = jacobsthal
    if construction == 1:
        return bordered + np.eye(prime + 1)
    plus, minus = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    return np.kron(bordered, plus) + np.kron(np.eye(prime + 1), minus)


@cache
def _cosines(size: int) -> NDArray[np.float64]:
    """[size, size], orthogonal: cosines of the second kind."""
    k, i = np.arange(size), np.arange(size)[:, None]
    found = np.cos(np.pi * k * (2 * i + 1) / (2 * size)) * np.sqrt(2 / size)
    found[:, 0] = np.sqrt(1 / size)
    return found
