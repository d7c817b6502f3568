"""CP-SAT with one worker, a fixed seed and a limit that does not depend on the machine's load."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from ortools.sat.python import cp_model

from afmc.passes.packing.demand import Counts

_MOST_KNOWN = 256
_KNOWN: dict[tuple[bytes, float], Solution] = {}
_LOCK = Lock()


@dataclass(frozen=True, eq=False)
class Solution:
    found: bool
    """Whether there is an answer; none in time says nothing about there being none."""
    proven: bool
    """Whether it is the best, or whether there is none at all."""
    objective: int
    bound: float
    """On the objective, valid whether or not an answer was found."""
    spent_s: float
    """CP-SAT's deterministic seconds."""
    solver: cp_model.CpSolver

    def values(self, variables: Iterable[cp_model.IntVar]) -> Counts:
        return np.asarray([self.solver.value(variable) for variable in variables], np.int64)


def solve(model: cp_model.CpModel, time_limit_s: float) -> Solution:
    """Solves with the same answer every time, so that one that was found lately is not sought
    again: searches for options that help pose many problems twice. The limit is in deterministic
    seconds."""
    key = (hashlib.sha256(str(model.proto).encode()).digest(), time_limit_s)
    with _LOCK:
        known = _KNOWN.pop(key, None)
        if known is not None:
            _KNOWN[key] = known
            return known
    found = _solve(model, time_limit_s)
    with _LOCK:
        _KNOWN[key] = found
        while len(_KNOWN) > _MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
    return found


def _solve(model: cp_model.CpModel, time_limit_s: float) -> Solution:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = max(time_limit_s, 1e-3)
    status = solver.solve(model)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return Solution(
        found=found,
        proven=status in (cp_model.OPTIMAL, cp_model.INFEASIBLE),
        objective=round(solver.objective_value) if found else 0,
        bound=solver.best_objective_bound,
        spent_s=max(solver.response_proto.deterministic_time, 1e-4),
        solver=solver,
    )
