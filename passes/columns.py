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

from afmc.passes.demand import Counts, Demand
from afmc.passes.solver import solve

SCALE = 1_000_000_000
"""Duals are in billionths of a tile, rounded downwards, so that bounds stay true."""
WORTHWHILE = SCALE + SCALE // 1_000_000
"""What a new pattern must be worth more than: GLOP's duals have errors of their own."""


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
    times: NDArray[np.float64]
    """How often the linear master uses each."""
    bound: int
    """Fewest tiles, by any patterns; 0 where the pricing gave no bound."""
    spent_s: float


def generate_columns(
    patterns: Counts, demand: Demand, price: Pricing, time_limit_s: float, enough: int = 0
) -> Columns:
    """More and more patterns, until none helps, or `enough` tiles would do, or time is up."""
    bound, spent = 0, 0.0
    known = {tuple(pattern) for pattern in patterns.tolist()}
    while True:
        tiles, times, duals = _master(patterns, demand)
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
    return Columns(patterns, times, bound, spent)


def _master(patterns: Counts, demand: Demand) -> tuple[float, NDArray[np.float64], list[int]]:
    """Tiles, how often each pattern is used, and what a block of each type is worth."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    infinity = solver.infinity()
    times = [solver.NumVar(0, infinity, "") for _ in patterns]
    rows = []
    for of_type, needed in zip(patterns.T.tolist(), demand.fixed.tolist(), strict=True):
        row = solver.Constraint(needed, infinity)
        for variable, count in zip(times, of_type, strict=True):
            row.SetCoefficient(variable, count)
        rows.append(row)
    for choice in demand.choices:
        one_way_each = solver.Constraint(choice.count, choice.count)
        for way in choice.ways.tolist():
            taken = solver.NumVar(0, infinity, "")
            one_way_each.SetCoefficient(taken, 1)
            for row, count in zip(rows, way, strict=True):
                row.SetCoefficient(taken, -count)
    objective = solver.Objective()
    for variable in times:
        objective.SetCoefficient(variable, 1)
    objective.SetMinimization()
    solver.Solve()
    used = np.asarray([variable.solution_value() for variable in times])
    duals = [max(0, math.floor(row.dual_value() * SCALE)) for row in rows]
    return objective.Value(), used, duals


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
