"""Copies of the weights that everything waits for, within a budget of crossbars.

Groups that are alike in blocks and uses are one class, so the size of the problem does not depend
on the number of layers. A group that may take `T` turns needs ceil(n / T) replicas of a copy that
is used `n` times. For throughput the least `T` for all groups is found by bisection. For latency
each group has a `T` of its own, and their sum is a multiple-choice knapsack over classes: a greedy
choice along the convex hull comes first, with the bound of the linear relaxation, and is the hint
for CP-SAT. For accuracy every product is the mean of all replicas, which leaves 1 / r of the square
of errors that differ from one to the next: `afmc.passes.averaging`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from afmc.errors import OptionError
from afmc.passes import Alternative
from afmc.passes.averaging import averaged, check_budget, stamp
from afmc.program.limits import alive
from afmc.program.program import Pace, Program, Replication
from afmc.targets import Target

Ints = NDArray[np.int64]

# Choices of turns, over all classes, up to which CP-SAT looks for better than greedy.
_MOST_CHOICES = 50_000


@dataclass(frozen=True)
class Replicate:
    tiles: int | None = None
    """Crossbars that blocks may take, replicas included; none: no replicas. Where blocks share
    tiles (``allocate.rule``) they take fewer tiles than that."""
    objective: Pace = "throughput"
    """``throughput``: the group that takes most turns takes as few as can be, with as few crossbars
    as that takes. ``latency``: all groups together do, one after the other. ``accuracy``: products
    are the mean of all replicas, by what -O3 measured of each matrix."""
    tokens: int = 1
    """Tokens that run through at once, in a prompt or a batch. With one, a matrix that is used once
    a token gains nothing."""
    time_limit_s: float = 30.0
    """CP-SAT's limit for ``latency``, in its deterministic seconds."""

    def __call__(self, program: Program, target: Target) -> Program:
        if self.tokens < 1 or self.time_limit_s <= 0:
            raise OptionError("replicate.tokens and replicate.time_limit_s must be positive.")
        if self.tiles is None:
            return program
        check_budget(self.tiles, len(program.blocks))
        if self.objective == "accuracy":
            return averaged(program, self.tiles)
        classes = _classes(program, self.tokens)
        if self.objective == "throughput":
            turns = bound = _fewest_turns(classes, self.tiles)
            chosen = [[turns] * len(each.groups) for each in classes]
            alone = max(each.most for each in classes)
        else:
            chosen, bound = _fewest_in_a_row(classes, self.tiles, self.time_limit_s)
            turns = sum(map(sum, chosen))
            alone = sum(each.most * len(each.groups) for each in classes)
        groups = list(program.groups)
        for each, of_groups in zip(classes, chosen, strict=True):
            for index, of_group in zip(each.groups, of_groups, strict=True):
                groups[index] = replace(groups[index], replicas=each.replicas(of_group))
        replicated = any(group.replicas for group in groups)
        blocks = stamp(program.blocks, groups) if replicated else program.blocks
        return replace(
            program,
            groups=tuple(groups),
            blocks=blocks,
            replication=Replication(
                objective=self.objective,
                tokens=self.tokens,
                budget=self.tiles,
                crossbars=len(blocks),
                turns=turns,
                turns_alone=alone,
                lower_bound=bound,
                status="OPTIMAL" if bound == turns else "FEASIBLE",
            ),
        )

    def alternatives(self, program: Program, target: Target) -> Sequence[Alternative]:
        """As many replicas as the system has room for, where there are too many."""
        if program.replication is None or target.system.chips is None:
            return ()
        crossbars, _ = alive(program, target, target.system.chips)
        return (Alternative({"tiles": crossbars}, "less"),)


@dataclass(frozen=True)
class _Class:
    """Groups of as many blocks and of the same uses."""

    groups: Sequence[int]
    blocks: int
    """Blocks of one replica of one copy."""
    uses: Ints
    """Distinct numbers of uses of a copy, as numerators."""
    over: Ints
    """Their denominators."""
    copies: Ints
    """How many copies have each."""
    which: Ints
    """The number of uses of each copy, by its place in `uses`."""

    def needed(self, turns: int | Ints) -> Ints:
        """Replicas of a copy with each number of uses, for so many turns; [..., uses]."""
        per_replica = self.over * np.asarray(turns)[..., None]
        return np.maximum(-(-self.uses // per_replica), 1)

    def replicas(self, turns: int) -> tuple[int, ...]:
        """By copy; empty for one each."""
        needed = self.needed(turns)
        return tuple(needed[self.which].tolist()) if needed.max() > 1 else ()

    def crossbars(self, turns: int | Ints) -> Ints:
        """Crossbars of one group, for so many turns."""
        return self.blocks * (self.needed(turns) @ self.copies)

    @property
    def most(self) -> int:
        """Turns without replicas."""
        return int((-(-self.uses // self.over)).max(initial=1))

    def choices(self, budget: int) -> tuple[Ints, Ints]:
        """Turns, most first, and the crossbars of one group: what is worth choosing from."""
        turns = _quotients(self.uses, self.over)
        crossbars = self.crossbars(turns)
        cheaper = np.append(True, crossbars[1:] < crossbars[:-1])
        worth = cheaper & (crossbars <= budget)
        return turns[worth][::-1], crossbars[worth][::-1]


def _classes(program: Program, tokens: int) -> list[_Class]:
    blocks = np.bincount(program.blocks["group"], minlength=len(program.groups)).tolist()
    members: dict[tuple[int, tuple[Fraction, ...]], list[int]] = {}
    for index, group in enumerate(program.groups):
        key = (blocks[index] // group.copies, program.uses_of(group))
        members.setdefault(key, []).append(index)
    classes = []
    for (of_replica, uses), indices in members.items():
        distinct = sorted(set(uses))
        place = {each: number for number, each in enumerate(distinct)}
        which = np.asarray([place[each] for each in uses])
        times = [each * tokens for each in distinct]
        classes.append(
            _Class(
                indices,
                of_replica,
                np.asarray([each.numerator for each in times]),
                np.asarray([each.denominator for each in times]),
                np.bincount(which),
                which,
            )
        )
    return classes


def _quotients(uses: Ints, over: Ints) -> Ints:
    """All values of ceil(n / r) for whole r, in rising order: some 2 sqrt(n) for each n."""
    found = [np.ones(1, np.int64)]
    for number, denominator in zip(uses.tolist(), over.tolist(), strict=True):
        few = np.arange(1, math.isqrt(-(-number // denominator)) + 2)
        found += [few, -(-number // (denominator * few))]
    values = np.unique(np.concatenate(found))
    most = max(1, int((-(-uses // over)).max(initial=1)))
    return values[(values >= 1) & (values <= most)]


def _fewest_turns(classes: Sequence[_Class], budget: int) -> int:
    """The least number of turns that no group exceeds: fewer need more than the budget."""
    low, high = 1, max(each.most for each in classes)
    while low < high:
        middle = (low + high) // 2
        needed = sum(len(each.groups) * int(each.crossbars(middle)) for each in classes)
        low, high = (low, middle) if needed <= budget else (middle + 1, high)
    return low


def _fewest_in_a_row(
    classes: Sequence[_Class], budget: int, time_limit_s: float
) -> tuple[list[list[int]], int]:
    """Turns of each group, by class, and a lower bound on their sum."""
    choices = [each.choices(budget) for each in classes]
    sizes = [len(each.groups) for each in classes]
    counts, bound = _greedy(choices, sizes, budget)
    if bound < _total(choices, counts) and sum(len(t) for t, _ in choices) <= _MOST_CHOICES:
        counts, proven = _solve(choices, sizes, budget, counts, time_limit_s)
        bound = max(bound, proven)
    chosen = [
        np.repeat(turns, count).tolist() for (turns, _), count in zip(choices, counts, strict=True)
    ]
    return chosen, bound


def _total(choices: Sequence[tuple[Ints, Ints]], counts: Sequence[Ints]) -> int:
    return sum(int(turns @ count) for (turns, _), count in zip(choices, counts, strict=True))


def _greedy(
    choices: Sequence[tuple[Ints, Ints]], sizes: Sequence[int], budget: int
) -> tuple[list[Ints], int]:
    """How many groups of each class take each choice, and the linear relaxation's bound.

    Step after step along the classes' convex hulls, the step that saves most turns a crossbar
    first, until the budget is spent; relaxed, a part of the next step is taken.
    """
    counts = [np.zeros(len(turns), np.int64) for turns, _ in choices]
    steps = []
    for number, (turns, crossbars) in enumerate(choices):
        counts[number][0] = sizes[number]
        corners = _hull(turns, crossbars)
        for start, end in pairwise(corners):
            cost = int(crossbars[end] - crossbars[start])
            steps.append((Fraction(int(turns[start] - turns[end]), cost), number, start, end, cost))
    left = budget - sum(s * int(c[0]) for s, (_, c) in zip(sizes, choices, strict=True))
    bound: int | None = None
    reached = list(sizes)
    for slope, number, start, end, cost in sorted(steps, key=lambda step: (-step[0], step[1:])):
        taken = min(reached[number], left // cost)
        counts[number][start] -= taken
        counts[number][end] += taken
        left -= taken * cost
        if taken < reached[number] and bound is None:
            bound = math.ceil(_total(choices, counts) - left * slope)
        reached[number] = taken
    return counts, _total(choices, counts) if bound is None else bound


def _hull(turns: Ints, crossbars: Ints) -> list[int]:
    """Corners of the lower convex hull; crossbars rise and turns fall."""
    corners: list[int] = []
    for point in range(len(turns)):
        while len(corners) > 1:
            a, b = corners[-2:]
            rise = (turns[a] - turns[b]) * (crossbars[point] - crossbars[b])
            if rise > (turns[b] - turns[point]) * (crossbars[b] - crossbars[a]):
                break
            corners.pop()
        corners.append(point)
    return corners


def _solve(
    choices: Sequence[tuple[Ints, Ints]],
    sizes: Sequence[int],
    budget: int,
    hint: Sequence[Ints],
    time_limit_s: float,
) -> tuple[list[Ints], int]:
    """At least as good a choice as the hint, and the solver's lower bound."""
    model = cp_model.CpModel()
    variables = [
        [model.new_int_var(0, size, "") for _ in of_class]
        for size, of_class in zip(sizes, hint, strict=True)
    ]
    flat = [variable for of_class in variables for variable in of_class]
    for of_class, size in zip(variables, sizes, strict=True):
        model.add(cp_model.LinearExpr.sum(of_class) == size)
    turns, crossbars = (np.concatenate(each).tolist() for each in zip(*choices, strict=True))
    model.add(cp_model.LinearExpr.weighted_sum(flat, crossbars) <= budget)
    model.minimize(cp_model.LinearExpr.weighted_sum(flat, turns))
    for variable, value in zip(flat, np.concatenate(hint).tolist(), strict=True):
        model.add_hint(variable, value)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # one worker and a fixed seed: the same answer every time
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = time_limit_s
    status = solver.solve(model)
    bound = max(0, math.ceil(solver.best_objective_bound - 1e-6))
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return list(hint), bound
    found = [np.asarray([solver.value(v) for v in of_class], np.int64) for of_class in variables]
    return (found if _total(choices, found) <= _total(choices, hint) else list(hint)), bound
