"""Replicas whose products are averaged: which weights are there how often, within a budget.

Programming errors of replicas are independent, so the mean of `r` of them has 1 / r of their
square, and about 1 / r of the KL divergence that they cause. A group's worth of one more replica
falls with each, so at a price of crossbars each group has its own best number, and the price
couples them: what is worth most for its crossbars comes first, and Lagrangian relaxation bounds
what any choice within the budget leaves.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from afmc.errors import OptionError
from afmc.program.program import Group, Program, Replication, Table

MOST_REPLICAS = 8


def check_budget(crossbars: int, blocks: int) -> None:
    """Raises OptionError where so many crossbars do not hold every block once."""
    if crossbars < blocks:
        raise OptionError(
            f"replicate.tiles is {crossbars:,}, but one copy of everything takes {blocks:,} "
            f"crossbars: give at least as many."
        )


def averaged(program: Program, budget: int) -> Program:
    """The program with replicas for accuracy, on at most so many crossbars.

    Raises OptionError where nothing was measured of its matrices.
    """
    known = {} if program.recovery is None else program.recovery.divergences
    if any(matrix.name not in known for matrix in program.analog):
        raise OptionError(
            "replicate.objective=accuracy chooses by what each matrix costs on tiles, which a "
            "compile with -O3 measures: compile with -O3."
        )
    alone = [sum(known[name] for name in group.members) for group in program.groups]
    blocks = np.bincount(program.blocks["group"], minlength=len(program.groups)).tolist()
    times, bound = _most_worth(alone, blocks, budget)
    groups = tuple(
        replace(group, replicas=(n,) * group.copies if n > 1 else ())
        for group, n in zip(program.groups, times, strict=True)
    )
    left = sum(each / n for each, n in zip(alone, times, strict=True))
    stamped = stamp(program.blocks, groups)
    turns = sum(_turns(program, group) for group in groups)
    return replace(
        program,
        groups=groups,
        blocks=stamped,
        replication=Replication(
            objective="accuracy",
            tokens=1,
            budget=budget,
            crossbars=len(stamped),
            turns=turns,
            turns_alone=turns,
            lower_bound=turns,
            status="OPTIMAL" if bound >= left * (1 - 1e-9) else "FEASIBLE",
            divergence=left,
            divergence_alone=sum(alone),
            divergence_bound=min(bound, left),
        ),
    )


def _turns(program: Program, group: Group) -> int:
    """All replicas of a copy work at the same time, at every use."""
    return max(1, max(-(-n.numerator // n.denominator) for n in program.uses_of(group)))


def _most_worth(
    alone: Sequence[float], blocks: Sequence[int], budget: int
) -> tuple[list[int], float]:
    """Replicas of each group, and a lower bound of what any choice within the budget leaves."""
    times = [1] * len(alone)
    left = budget - sum(blocks)

    def slope(number: int) -> float:
        n = times[number]
        return alone[number] / (n * (n + 1)) / blocks[number]

    heap = [(-slope(number), number) for number in range(len(alone))]
    heapq.heapify(heap)
    price = 0.0
    while heap:
        worth, number = heapq.heappop(heap)
        if blocks[number] > left:
            price = max(price, -worth)  # the dearest that did not fit bounds all others
            continue
        times[number] += 1
        left -= blocks[number]
        if times[number] < MOST_REPLICAS:
            heapq.heappush(heap, (-slope(number), number))
    return times, _bound(alone, blocks, budget, price)


def _bound(alone: Sequence[float], blocks: Sequence[int], budget: int, price: float) -> float:
    """The Lagrangian's value where a crossbar costs `price`."""
    counts = np.arange(1, MOST_REPLICAS + 1)
    total = -price * budget
    for each, of_group in zip(alone, blocks, strict=True):
        total += float((each / counts + price * of_group * counts).min())
    return total


def stamp(blocks: Table, groups: Sequence[Group]) -> Table:
    """Every block once for each replica of its copy."""
    by_group = [group.replicas or (1,) * group.copies for group in groups]
    first = np.cumsum([0, *map(len, by_group)])
    times = np.concatenate(by_group)[first[blocks["group"]] + blocks["copy"]]
    stamped = np.repeat(blocks, times)
    stamped["replica"] = np.arange(len(stamped)) - np.repeat(np.cumsum(times) - times, times)
    return stamped[np.lexsort([stamped[key] for key in ("replica", "copy", "group")])]
