"""How many blocks of each type are to be packed, some of them by choice.

Blocks of equal shape are one *type*, so a demand is a handful of numbers however large the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choice:
    """Equal things, each of which can be had in one of several ways."""

    count: int
    ways: Counts
    """[ways, types], the blocks that one of them takes."""


@dataclass(frozen=True, eq=False)
class Demand:
    fixed: Counts
    """[types], the blocks that are there in any case."""
    choices: tuple[Choice, ...] = ()

    @property
    def most(self) -> Counts:
        """[types], the most that there can be of each."""
        chosen = (choice.count * choice.ways.max(axis=0) for choice in self.choices)
        return np.asarray(sum(chosen, self.fixed), np.int64)

    def least(self, weights: Sequence[int]) -> int:
        """The smallest total weight that the blocks can have."""

        def weight(blocks: Counts) -> int:
            return sum(n * w for n, w in zip(blocks.tolist(), weights, strict=True))

        ways = (choice.count * min(map(weight, choice.ways)) for choice in self.choices)
        return weight(self.fixed) + sum(ways)

    def settled(self, taken: Sequence[Counts]) -> Counts:
        """The blocks, once it is known how often each way of each choice is taken."""
        ways = (n @ choice.ways for n, choice in zip(taken, self.choices, strict=True))
        return np.asarray(sum(ways, self.fixed), np.int64)

    def of(self, types: NDArray[np.bool_]) -> Demand:
        """The part that is about these types."""
        choices = (Choice(choice.count, choice.ways[:, types]) for choice in self.choices)
        return Demand(self.fixed[types], tuple(choices))
