"""Experts of a bank to tiles, so that those that one token takes do not wait for one another.

The longest wait of a token is the most reads that one tile does for it; its mean over sampled
tokens is what is minimised, by swapping blocks of two experts between two tiles. The tokens are
halved: one half is searched on, the other tells how good the result is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.program.flow import Real, Whole
from afmc.program.program import Program


@dataclass(frozen=True)
class Sample:
    """Which experts tokens go to, [tokens, experts] of 0 and 1."""

    searched: Real
    held_out: Real

    def together(self) -> Real:
        """How often a token takes both of two experts, [experts, experts]."""
        return np.asarray(self.searched.T @ self.searched / len(self.searched))


def samples_of(program: Program, tokens: int, seed: int) -> tuple[dict[int, Sample], str]:
    """A sample for each group that is a bank, and where it is from.

    Without a routing in the program every expert is as likely as another: `tokens` are drawn.
    """
    known = program.routing.experts if program.routing is not None else {}
    result: dict[int, Sample] = {}
    drawn: dict[tuple[int, int], Sample] = {}
    given: dict[str, Sample] = {}
    assumed = False
    for index, group in enumerate(program.groups):
        matrix = program.matrix(group.members[0])
        if group.copies < 2:
            continue
        taken = max(1, round(matrix.per_token))
        if matrix.module in known:
            if matrix.module not in given:
                given[matrix.module] = _halved(known[matrix.module], group.copies)
            result[index] = given[matrix.module]
            continue
        assumed = True
        if (group.copies, taken) not in drawn:
            order = np.random.default_rng(seed).random((tokens, group.copies)).argsort(axis=1)
            drawn[group.copies, taken] = _halved(order[:, :taken], group.copies)
        result[index] = drawn[group.copies, taken]
    if not result:
        return {}, ""
    uniform = f"assumed uniform, {tokens} tokens from seed {seed}"
    seen = program.routing.source if program.routing is not None else ""
    if not assumed:
        return result, seen
    return result, f"{seen}; where it has none: {uniform}" if given else uniform


def _halved(experts: NDArray[np.integer[Any]], copies: int) -> Sample:
    taken = np.zeros((len(experts), copies))
    np.put_along_axis(taken, np.asarray(experts, np.int64), 1.0, axis=1)
    half = max(1, len(taken) // 2)
    return Sample(taken[:half], taken[half:] if len(taken) > 1 else taken)


def longest_wait(taken: Real, reads: Whole | Real, besides: Real) -> float:
    """Mean over tokens of the most reads of one tile. `reads` are [experts, tiles], `besides`
    [tiles]: what the tiles do for the same stage for every token."""
    shared = reads.sum(axis=0) + besides > 1  # one block alone is one read, when it is taken
    if not shared.any():
        return 1.0
    loads = (taken @ reads[:, shared] + besides[shared]).max(axis=1)
    return float(np.maximum(loads, 0.0 if shared.all() else 1.0).mean())


def least_wait(taken: Real, blocks: Real, tiles: Whole, besides: Real) -> float:
    """No placement onto the same chips waits less: [experts, chips], [chips], [chips]."""
    if (blocks.sum(axis=0) + besides <= tiles).all() and (blocks.sum(axis=1) > 0).all():
        return 1.0  # a tile for each block of every expert
    return float(np.ceil((taken @ blocks + besides) / tiles - 1e-9).max(axis=1).mean())


def swapped(sample: Sample, reads: Whole, besides: Real, effort: int, seed: int) -> Whole:
    """Better counts of the blocks of each expert on each tile, [experts, tiles].

    How many blocks an expert has, and how many there are on a tile, stays. `effort` swaps are
    tried: from the busiest tile of some token to its least busy one, for an expert that it does
    not take.
    """
    rng, taken, reads = np.random.default_rng(seed), sample.searched, reads.copy()
    loads = taken @ reads + besides
    longest = loads.max(axis=1)
    for token in rng.integers(len(taken), size=effort):
        found = _swap(taken[token] > 0, reads, loads[token], rng)
        if found is None:
            continue
        mine, other, here, there = found
        change = taken[:, other] - taken[:, mine]
        rows = np.flatnonzero(change)
        after = loads[rows]
        after[:, here] += change[rows]
        after[:, there] -= change[rows]
        most = after.max(axis=1)
        gain = longest[rows].sum() - most.sum()
        if gain > 0 or (gain == 0 and (after**2).sum() < (loads[rows] ** 2).sum()):
            loads[rows], longest[rows] = after, most
            reads[[mine, other], [here, there]] -= 1
            reads[[other, mine], [here, there]] += 1
    return reads


def _swap(
    takes: NDArray[np.bool_], reads: Whole, load: Real, rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    here = int(load.argmax())
    mine = np.flatnonzero((reads[:, here] > 0) & takes)
    if not len(mine):
        return None
    quiet = np.argsort(load + rng.random(len(load)), kind="stable")
    for there in quiet[:2].tolist():
        other = np.flatnonzero((reads[:, there] > 0) & ~takes)
        if len(other) and load[there] < load[here]:
            return int(rng.choice(mine)), int(rng.choice(other)), here, there
    return None


def at_random(where: Whole, chip: Whole, seed: int) -> Whole:
    """Another place for each block, of those on its chip, without a plan."""
    rng, result = np.random.default_rng(seed), where.copy()
    for each in np.unique(chip):
        mine = np.flatnonzero(chip == each)
        result[mine] = where[rng.permutation(mine)]
    return result
