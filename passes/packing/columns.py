"""Patterns made on demand, where there are too many to list.

Column generation (Gilmore and Gomory 1961) on the linear relaxation of the covering model: GLOP
solves the master, and a pricing problem finds a pattern that its duals say is worth more than a
tile. Where the pricing knows how much any pattern can be worth, Farley's bound holds at every round
(Operations Research 38, 1990).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

from afmc.passes.packing.demand import Counts, Demand
from afmc.passes.packing.solver import solve

SCALE = 1_000_000_000
"""Duals are in billionths of a tile, rounded downwards, so that bounds stay true."""
WORTHWHILE = SCALE + SCALE // 1_000_000
"""What a new pattern must be worth more than: GLOP's duals have errors of their own."""

_MOST_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class Priced:
    """The answer to a pricing problem."""

    pattern: Counts | None
    """[types]; None where nothing better was found."""
    bound: int | None
    """No pattern is worth more, in billionths; None where that is not known."""
    spent_s: float


Pricing = Callable[[list[int], float], Priced]
"""From what a block of each type is worth, and the deterministic seconds that are left."""


@dataclass(frozen=True, eq=False)
class Columns:
    patterns: Counts
    """[patterns, types]"""
    tiles: float
    """Tiles of the linear master."""
    times: NDArray[np.float64]
    """How often the linear master uses each."""
    taken: tuple[NDArray[np.float64], ...]
    """[ways] for each choice, how many are had in that way."""
    bound: int
    """Fewest tiles, by any patterns; 0 where the pricing gave no bound."""
    spent_s: float


def generate_columns(
    patterns: Counts, demand: Demand, price: Pricing, time_limit_s: float, enough: int = 0
) -> Columns:
    """More and more patterns, until none helps, or `enough` tiles would do, or time is up."""
    bound, spent = 0, 0.0
    known = {tuple(pattern) for pattern in patterns.tolist()}
    master = _Master(patterns, demand)
    for _ in range(_MOST_ROUNDS):
        tiles, duals = master.solve()
        if spent >= time_limit_s or math.ceil(tiles - 1e-6) <= max(enough, bound):
            break
        priced = price(duals, time_limit_s - spent)
        spent += priced.spent_s
        if priced.bound is not None:
            # duals / bound are feasible for the full master, by definition of the bound
            dual = Fraction(demand.least(duals), max(priced.bound, SCALE))
            bound = max(bound, math.ceil(dual))
        if priced.pattern is None or tuple(priced.pattern.tolist()) in known:
            break
        known.add(tuple(priced.pattern.tolist()))
        patterns = np.vstack([patterns, priced.pattern])
        master.add(priced.pattern)
    else:
        tiles, _ = master.solve()
    return Columns(patterns, tiles, master.times, master.taken, bound, spent)


class _Master:
    """Tiles filled as the patterns say hold at least the demand."""

    def __init__(self, patterns: Counts, demand: Demand) -> None:
        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        infinity = self._solver.infinity()
        self._rows = [self._solver.Constraint(n, infinity) for n in demand.fixed.tolist()]
        self._taken = [
            [self._solver.NumVar(0, infinity, "") for _ in choice.ways] for choice in demand.choices
        ]
        for choice, ways in zip(demand.choices, self._taken, strict=True):
            one_way_each = self._solver.Constraint(choice.count, choice.count)
            for variable, way in zip(ways, choice.ways, strict=True):
                one_way_each.SetCoefficient(variable, 1)
                self._hold(variable, -way)
        self._times: list[pywraplp.Variable] = []
        self._solver.Objective().SetMinimization()
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: Counts) -> None:
        variable = self._solver.NumVar(0, self._solver.infinity(), "")
        self._solver.Objective().SetCoefficient(variable, 1)
        self._hold(variable, pattern)
        self._times.append(variable)

    def _hold(self, variable: pywraplp.Variable, counts: Counts) -> None:
        for of_type in np.flatnonzero(counts).tolist():
            self._rows[of_type].SetCoefficient(variable, int(counts[of_type]))

    def solve(self) -> tuple[float, list[int]]:
        """The number of tiles, and what a block of each type is worth."""
        self._solver.Solve()
        duals = [max(0, math.floor(row.dual_value() * SCALE)) for row in self._rows]
        return self._solver.Objective().Value(), duals

    @property
    def times(self) -> NDArray[np.float64]:
        """[patterns]"""
        return _solution(self._times)

    @property
    def taken(self) -> tuple[NDArray[np.float64], ...]:
        """[ways] for each choice."""
        return tuple(map(_solution, self._taken))


def _solution(variables: list[pywraplp.Variable]) -> NDArray[np.float64]:
    return np.asarray([variable.solution_value() for variable in variables])


def price_diagonals(shapes: Counts, most: Counts, tile: tuple[int, int]) -> Pricing:
    """Exact, for blocks that share neither a row nor a column; `most` fit by themselves."""

    def price(duals: list[int], time_limit_s: float) -> Priced:
        model = cp_model.CpModel()
        count = [model.new_int_var(0, limit, "") for limit in most.tolist()]
        for dimension, limit in enumerate(tile):
            extent = cp_model.LinearExpr.weighted_sum(count, shapes[:, dimension].tolist())
            model.add(extent <= limit)
        model.maximize(cp_model.LinearExpr.weighted_sum(count, duals))
        found = solve(model, time_limit_s)
        better = found.found and found.objective > WORTHWHILE
        pattern = found.values(count) if better else None
        return Priced(pattern, int(found.bound), found.spent_s)

    return price
