"""Patterns made on demand, for models with too many to list.

Column generation (Gilmore and Gomory 1961) on the linear relaxation of the covering model: GLOP
solves the master, CP-SAT prices. Pricing is exact, so Farley's bound holds at every round.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

from afmc.passes.patterns import Counts, capacity

_SCALE = 1_000_000  # duals are rounded to millionths, downwards, so that the bound stays true


def generate_columns(
    shapes: Counts, demand: Counts, tile: tuple[int, int], time_limit_s: float
) -> tuple[Counts, int]:
    """Good patterns [patterns, types], and a lower bound on the number of tiles.

    `time_limit_s` is in CP-SAT's deterministic seconds over all rounds.
    """
    patterns = _homogeneous(shapes, demand, tile)
    bound, spent = 0, 0.0
    while spent < time_limit_s:
        duals = _duals(patterns, demand)
        best, value, proven, used = _price(shapes, demand, tile, duals, time_limit_s - spent)
        spent += used
        if proven:
            # duals / value are feasible for the full master, by definition of the best value
            total = sum(d * n for d, n in zip(duals, demand.tolist(), strict=True))
            bound = max(bound, math.ceil(Fraction(total, max(value, _SCALE))))
        if best is None or value <= _SCALE or (patterns == best).all(axis=1).any():
            break
        patterns = np.vstack([patterns, best])
    return patterns, bound


def _homogeneous(shapes: Counts, demand: Counts, tile: tuple[int, int]) -> Counts:
    """One pattern a type: as many of it as fit."""
    return np.diag(np.minimum(capacity(shapes, tile), demand))


def _duals(patterns: Counts, demand: Counts) -> list[int]:
    solver = pywraplp.Solver.CreateSolver("GLOP")
    times = [solver.NumVar(0, solver.infinity(), "") for _ in patterns]
    rows = []
    for of_type, needed in zip(patterns.T.tolist(), demand.tolist(), strict=True):
        row = solver.Constraint(needed, solver.infinity())
        for variable, count in zip(times, of_type, strict=True):
            row.SetCoefficient(variable, count)
        rows.append(row)
    objective = solver.Objective()
    for variable in times:
        objective.SetCoefficient(variable, 1)
    objective.SetMinimization()
    solver.Solve()
    return [max(0, math.floor(row.dual_value() * _SCALE)) for row in rows]


def _price(
    shapes: Counts, demand: Counts, tile: tuple[int, int], duals: list[int], time_limit_s: float
) -> tuple[Counts | None, int, bool, float]:
    """The most valuable pattern, its value in millionths, whether proven, the time it took."""
    model = cp_model.CpModel()
    most = np.minimum(capacity(shapes, tile), demand).tolist()
    count = [model.new_int_var(0, limit, "") for limit in most]
    for dimension, limit in enumerate(tile):
        extent = cp_model.LinearExpr.weighted_sum(count, shapes[:, dimension].tolist())
        model.add(extent <= limit)
    model.maximize(cp_model.LinearExpr.weighted_sum(count, duals))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = max(time_limit_s, 1e-3)
    status = solver.solve(model)
    used = max(solver.response_proto.deterministic_time, 1e-4)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, 0, False, used
    best = np.asarray([solver.value(variable) for variable in count], np.int64)
    return best, round(solver.objective_value), status == cp_model.OPTIMAL, used
