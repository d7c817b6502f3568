"""How many directions each matrix is corrected in, within a budget of digital work.

What a direction is worth is known from a chip that is nobody's: half the sensitivity of the outputs
times the error along it. Directions of an activation are projected on once for all its readers, so
an activation with its readers is one problem, and the budget couples them: Lagrangian relaxation,
whose value bounds what any choice within the budget is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 60
"""Of the interval of prices; the last one is far below what tells two directions apart."""


@dataclass(frozen=True)
class Reader:
    """A matrix that could be corrected."""

    name: str
    activation: str
    project: float
    """Multiply-accumulates a token of projecting its input on one direction."""
    add: float
    """Multiply-accumulates a token of adding one direction's error to its outputs."""
    worth: NDArray[np.float64]
    """[directions], KL divergence per token that each direction takes away."""


@dataclass(frozen=True)
class Chosen:
    """Directions within a budget."""

    ranks: Mapping[str, int]
    macs: float
    """Digital multiply-accumulates a token."""
    worth: float
    """KL divergence per token that they take away, by the sensitivities."""
    bound: float
    """No choice within the budget is worth more."""


def choose_ranks(readers: Sequence[Reader], budget: float) -> Chosen:
    """The ranks that are worth most within `budget` multiply-accumulates a token."""
    groups: dict[str, list[Reader]] = {}
    for reader in readers:
        groups.setdefault(reader.activation, []).append(reader)
    everything = _at_price(groups, 0.0)
    if everything.macs <= budget:
        return everything
    low, high = 0.0, 1.0
    while _at_price(groups, high).macs > budget:
        high *= 2
    best = _at_price(groups, high)
    bound = best.worth + high * (budget - best.macs)
    for _ in range(_HALVINGS):
        price = (low + high) / 2
        found = _at_price(groups, price)
        bound = min(bound, found.worth + price * (budget - found.macs))
        if found.macs > budget:
            low = price
        else:
            high = price
            best = max(best, found, key=lambda each: each.worth)
    filled = _filled(groups, dict(best.ranks), best.macs, budget)
    return Chosen(filled.ranks, filled.macs, filled.worth, max(bound, filled.worth))


def _at_price(groups: Mapping[str, list[Reader]], price: float) -> Chosen:
    """What is worth most where a multiply-accumulate has a price; its own bound."""
    ranks: dict[str, int] = {}
    for members in groups.values():
        longest = max(len(each.worth) for each in members)
        gains = np.zeros(longest + 1) - price * members[0].project * np.arange(longest + 1)
        picks = []
        for each in members:
            net = np.concatenate([[0.0], np.cumsum(each.worth - price * each.add)])
            at = np.array([int(np.argmax(net[: n + 1])) for n in range(len(net))])
            at = np.pad(at, (0, longest + 1 - len(at)), mode="edge")
            gains += net[at]
            picks.append(at)
        best = int(np.argmax(gains))
        for each, at in zip(members, picks, strict=True):
            ranks[each.name] = int(at[best])
    return _of(groups, ranks)


def _of(groups: Mapping[str, list[Reader]], ranks: Mapping[str, int]) -> Chosen:
    macs = worth = 0.0
    for members in groups.values():
        macs += members[0].project * max(ranks[each.name] for each in members)
        for each in members:
            macs += each.add * ranks[each.name]
            worth += float(each.worth[: ranks[each.name]].sum())
    return Chosen(dict(ranks), macs, worth, worth)


def _filled(
    groups: Mapping[str, list[Reader]], ranks: dict[str, int], macs: float, budget: float
) -> Chosen:
    """With what still fits, the next direction that is worth most for its work first."""
    shared = {name: max(ranks[each.name] for each in each_) for name, each_ in groups.items()}
    while True:
        options = []
        for name, members in groups.items():
            for each in members:
                rank = ranks[each.name]
                if rank < len(each.worth):
                    cost = each.add + (each.project if rank == shared[name] else 0.0)
                    if macs + cost <= budget and each.worth[rank] > 0:
                        options.append((float(each.worth[rank]) / cost, cost, each))
        if not options:
            return _of(groups, ranks)
        _, cost, each = max(options, key=lambda option: option[0])
        ranks[each.name] += 1
        shared[each.activation] = max(shared[each.activation], ranks[each.name])
        macs += cost
