"""How many directions each matrix is corrected in, or whether it is digital, within a budget of
digital work.

What a direction is worth is known from a chip that is nobody's: half the sensitivity of the outputs
times the error along it. Directions of an activation are projected on once for all its readers, so
an activation with its readers is one problem, and the budget couples them: Lagrangian relaxation,
whose value bounds what any choice within the budget is worth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_DIGITAL = -1
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
    whole: tuple[float, float] | None = None
    """Multiply-accumulates a token of the whole product, digital, and the KL divergence that this
    takes away; None: it cannot be digital."""


@dataclass(frozen=True)
class Chosen:
    """Directions within a budget."""

    ranks: Mapping[str, int]
    """Of matrices on tiles."""
    digital: frozenset[str]
    """Matrices whose whole product is digital."""
    macs: float
    """Digital multiply-accumulates a token."""
    worth: float
    """KL divergence per token that they take away, by the sensitivities."""
    bound: float
    """No choice within the budget is worth more."""


def choose_ranks(readers: Sequence[Reader], budget: float) -> Chosen:
    """The ranks, and matrices that are digital, that are worth most within `budget`
    multiply-accumulates a token."""
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
    filled = _filled(groups, best, budget)
    return replace(filled, bound=max(bound, filled.worth))


def _at_price(groups: Mapping[str, list[Reader]], price: float) -> Chosen:
    """What is worth most where a multiply-accumulate has a price; its own bound."""
    ranks: dict[str, int] = {}
    digital = set()
    for members in groups.values():
        longest = max(len(each.worth) for each in members)
        gains = np.zeros(longest + 1) - price * members[0].project * np.arange(longest + 1)
        picks = []
        for each in members:
            net = np.concatenate([[0.0], np.cumsum(each.worth - price * each.add)])
            at = np.array([int(np.argmax(net[: n + 1])) for n in range(len(net))])
            at = np.pad(at, (0, longest + 1 - len(at)), mode="edge")
            worth = net[at]
            if each.whole is not None:
                alone = each.whole[1] - price * each.whole[0]
                at = np.where(alone > worth, _DIGITAL, at)
                worth = np.maximum(worth, alone)
            gains += worth
            picks.append(at)
        best = int(np.argmax(gains))
        for each, at in zip(members, picks, strict=True):
            if at[best] == _DIGITAL:
                digital.add(each.name)
            else:
                ranks[each.name] = int(at[best])
    return _of(groups, ranks, digital)


def _of(
    groups: Mapping[str, list[Reader]], ranks: Mapping[str, int], digital: Collection[str]
) -> Chosen:
    macs = worth = 0.0
    for members in groups.values():
        macs += members[0].project * max(ranks.get(each.name, 0) for each in members)
        for each in members:
            if each.name in digital:
                assert each.whole is not None
                macs, worth = macs + each.whole[0], worth + each.whole[1]
            else:
                macs += each.add * ranks[each.name]
                worth += float(each.worth[: ranks[each.name]].sum())
    return Chosen(dict(ranks), frozenset(digital), macs, worth, worth)


def _filled(groups: Mapping[str, list[Reader]], chosen: Chosen, budget: float) -> Chosen:
    """With what still fits, the next direction that is worth most for its work first."""
    ranks, macs = dict(chosen.ranks), chosen.macs
    shared = {
        name: max(ranks.get(each.name, 0) for each in members) for name, members in groups.items()
    }
    while True:
        options = []
        for name, members in groups.items():
            for each in members:
                rank = ranks.get(each.name)
                if rank is not None and rank < len(each.worth):
                    cost = each.add + (each.project if rank == shared[name] else 0.0)
                    if macs + cost <= budget and each.worth[rank] > 0:
                        options.append((float(each.worth[rank]) / cost, cost, each))
        if not options:
            return _of(groups, ranks, chosen.digital)
        _, cost, each = max(options, key=lambda option: option[0])
        ranks[each.name] += 1
        shared[each.activation] = max(shared[each.activation], ranks[each.name])
        macs += cost
