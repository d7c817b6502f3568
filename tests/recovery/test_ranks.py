"""Directions within a budget: optimal by brute force, and never beyond the bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afmc.recovery.ranks import Chosen, Reader, choose_ranks

worths = st.lists(st.floats(0, 4), min_size=1, max_size=3)


@st.composite
def readers(draw: st.DrawFn) -> list[Reader]:
    found = []
    for activation in range(draw(st.integers(1, 2))):
        project = draw(st.integers(1, 9))
        for number in range(draw(st.integers(1, 2))):
            worth = sorted(draw(worths), reverse=draw(st.booleans()))
            add = draw(st.integers(1, 9))
            name = f"{activation}.{number}"
            found.append(Reader(name, str(activation), project, add, np.asarray(worth)))
    return found


def best(choices: list[Reader], budget: float) -> float:
    found = 0.0
    for ranks in product(*(range(len(each.worth) + 1) for each in choices)):
        macs = sum(each.add * rank for each, rank in zip(choices, ranks, strict=True))
        for name in {each.activation for each in choices}:
            mine = [(e, r) for e, r in zip(choices, ranks, strict=True) if e.activation == name]
            macs += mine[0][0].project * max(rank for _, rank in mine)
        if macs <= budget:
            worth = sum(float(e.worth[:r].sum()) for e, r in zip(choices, ranks, strict=True))
            found = max(found, worth)
    return found


def macs_of(choices: list[Reader], chosen: Chosen) -> float:
    total = 0.0
    for name in {each.activation for each in choices}:
        mine = [each for each in choices if each.activation == name]
        total += mine[0].project * max(chosen.ranks[each.name] for each in mine)
        total += sum(each.add * chosen.ranks[each.name] for each in mine)
    return total


@given(readers(), st.integers(0, 80))
def test_within_the_budget_and_its_bound(choices: list[Reader], budget: int) -> None:
    chosen = choose_ranks(choices, budget)
    assert chosen.macs == pytest.approx(macs_of(choices, chosen)) and chosen.macs <= budget
    worth = sum(float(each.worth[: chosen.ranks[each.name]].sum()) for each in choices)
    assert chosen.worth == pytest.approx(worth)
    optimum = best(choices, budget)
    assert chosen.worth <= optimum + 1e-9
    assert optimum <= chosen.bound + 1e-9


def test_many_matrices_are_within_a_hundredth_of_the_bound() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    falling = np.asarray(0.8 ** np.arange(32), np.float64)
    choices = [
        Reader(f"{n}.{m}", str(n), 576, 192 + 384 * m, generator.random() * falling)
        for n in range(40)
        for m in range(3)
    ]
    chosen = choose_ranks(choices, 400_000)
    assert 0.99 < chosen.worth / chosen.bound <= 1
    assert chosen.macs > 0.99 * 400_000


def test_everything_where_the_budget_suffices() -> None:
    reader = Reader("a", "x", 2, 3, np.asarray([1.0, 0.5]))
    assert choose_ranks([reader], 100).ranks == {"a": 2}
    assert choose_ranks([reader], 0).ranks == {"a": 0}
