"""A problem that was solved lately is not solved again, and no other one takes its answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ortools.sat.python import cp_model

from afmc.passes.packing import solver


def problem(least: int, weight: int = 1) -> tuple[cp_model.CpModel, list[cp_model.IntVar]]:
    model = cp_model.CpModel()
    both = [model.new_int_var(0, 9, ""), model.new_int_var(0, 9, "")]
    model.add(both[0] + 2 * both[1] >= least)
    model.minimize(weight * both[0] + both[1])
    return model, both


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many variables each problem had that was really solved."""
    found: list[int] = []
    solve: Callable[[cp_model.CpModel, float], solver.Solution] = solver._solve

    def counted(model: cp_model.CpModel, limit: float) -> solver.Solution:
        found.append(len(model.proto.variables))
        return solve(model, limit)

    monkeypatch.setattr(solver, "_solve", counted)
    monkeypatch.setattr(solver, "_KNOWN", {})
    return found


def test_the_same_problem_is_solved_once(solved: list[int]) -> None:
    for _ in range(3):
        model, variables = problem(7)
        found = solver.solve(model, 1.0)
        assert found.proven and found.objective == 4
        assert found.values(variables) @ [1, 2] >= 7  # by the variables of this one
    assert len(solved) == 1


def test_other_problems_are_solved(solved: list[int]) -> None:
    found = [
        solver.solve(problem(least, weight)[0], limit).objective
        for least, weight, limit in ((7, 1, 1.0), (8, 1, 1.0), (19, 1, 1.0), (19, 3, 1.0))
    ]
    assert found == [4, 4, 10, 12] and len(solved) == 4
    solver.solve(problem(7)[0], 2.0)  # what was not found in one second may be in two
    assert len(solved) == 5


def test_the_oldest_are_forgotten(solved: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "_MOST_KNOWN", 2)
    for least in (7, 8, 7, 9, 8, 7):  # 8 is the oldest when 9 comes, and then 7 and 9
        solver.solve(problem(least)[0], 1.0)
    assert len(solved) == 5
