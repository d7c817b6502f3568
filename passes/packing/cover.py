"""How often to use each pattern: the integer master, by CP-SAT, under goals in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from afmc.passes.packing.demand import Counts, Demand
from afmc.passes.packing.patterns import greedy_cover
from afmc.passes.packing.solver import solve


@dataclass(frozen=True, eq=False)
class Goal:
    """What is to be as small as can be."""

    of_patterns: Counts
    """[patterns], what each use of a pattern adds."""
    of_ways: tuple[Counts, ...] = ()
    """[ways] for each choice, what taking it adds; nothing where this is empty."""


@dataclass(frozen=True, eq=False)
class Cover:
    times: Counts
    """[patterns]"""
    taken: tuple[Counts, ...]
    """[ways] for each choice, how many are had in that way."""
    bound: int
    """On the first goal, over these patterns."""


def tiles(patterns: Counts) -> Goal:
    """Every use of a pattern is a tile."""
    return Goal(np.ones(len(patterns), np.int64))


def cover(
    patterns: Counts,
    demand: Demand,
    goals: Sequence[Goal],
    time_limit_s: float,
    at_least: int = 0,
    hint: tuple[Counts, Sequence[Counts]] | None = None,
) -> Cover:
    """The best by the first goal; each later one breaks the ties of those before.

    `at_least` is a bound on the first goal that is known. `hint` is an answer: how often it uses
    each pattern, and what it takes of each choice. Without one it is the first way of each, by the
    pattern that serves most blocks, again and again.
    """
    model = cp_model.CpModel()
    most = int(demand.most.max(initial=0))
    times = [model.new_int_var(0, most, "") for _ in patterns]
    taken = [[model.new_int_var(0, c.count, "") for _ in c.ways] for c in demand.choices]
    for choice, ways in zip(demand.choices, taken, strict=True):
        model.add(cp_model.LinearExpr.sum(ways) == choice.count)
    for of_type, fixed in enumerate(demand.fixed.tolist()):
        held = cp_model.LinearExpr.weighted_sum(times, patterns[:, of_type].tolist())
        chosen = [
            cp_model.LinearExpr.weighted_sum(ways, choice.ways[:, of_type].tolist())
            for choice, ways in zip(demand.choices, taken, strict=True)
        ]
        model.add(held - cp_model.LinearExpr.sum(chosen) >= fixed)
    variables = [*times, *(way for ways in taken for way in ways)]

    if hint is None:
        first = [np.eye(len(c.ways), dtype=np.int64)[0] * c.count for c in demand.choices]
        hint = (greedy_cover(patterns, demand.settled(first)), first)
    best = np.concatenate([hint[0], *hint[1]])
    bound = at_least
    for index, goal in enumerate(goals):
        costs = _by_variable(goal, demand)
        total = cp_model.LinearExpr.weighted_sum(variables, costs.tolist())
        if index == 0:
            model.add(total >= at_least)
        model.minimize(total)
        model.clear_hints()
        for variable, value in zip(variables, best.tolist(), strict=True):
            model.add_hint(variable, value)
        found = solve(model, time_limit_s / len(goals))
        if index == 0:
            bound = max(bound, math.ceil(found.bound - 1e-6))
        if found.found and found.objective <= costs @ best:
            best = found.values(variables)
        model.add(total <= int(costs @ best))
    ends = np.cumsum([len(times), *map(len, taken)])
    used, *ways_taken = np.split(best, ends[:-1])
    return Cover(used, tuple(ways_taken), bound)


def _by_variable(goal: Goal, demand: Demand) -> Counts:
    nothing = (np.zeros(len(choice.ways), np.int64) for choice in demand.choices)
    return np.concatenate([goal.of_patterns, *(goal.of_ways or nothing)])
