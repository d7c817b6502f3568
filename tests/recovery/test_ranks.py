"""Directions within a budget: optimal by brute force, and never beyond the bound."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afmc.recovery.ranks import Reader, choose_ranks

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
            whole = draw(st.none() | st.tuples(st.integers(1, 30), st.floats(0, 12)))
            found.append(Reader(name, str(activation), project, add, np.asarray(worth), whole))
    return found


DIGITAL = -1


def best(choices: list[Reader], budget: float) -> float:
    """By trying every rank of every matrix, and whether it is digital."""
    found = 0.0
    for ranks in product(
        *(range(0 if e.whole is None else DIGITAL, len(e.worth) + 1) for e in choices)
    ):
        named = {each.name: rank for each, rank in zip(choices, ranks, strict=True)}
        if macs_of(choices, named) <= budget:
            found = max(found, worth_of(choices, named))
    return found


def macs_of(choices: list[Reader], ranks: Mapping[str, int]) -> float:
    total = 0.0
    for name in {each.activation for each in choices}:
        mine = [each for each in choices if each.activation == name]
        total += mine[0].project * max(0, *(ranks[each.name] for each in mine))
        for each in mine:
            rank, whole = ranks[each.name], each.whole
            total += whole[0] if whole and rank == DIGITAL else each.add * rank
    return total


def worth_of(choices: list[Reader], ranks: Mapping[str, int]) -> float:
    return sum(
        each.whole[1]
        if each.whole and ranks[each.name] == DIGITAL
        else float(each.worth[: ranks[each.name]].sum())
        for each in choices
    )


@given(readers(), st.integers(0, 80))
def test_within_the_budget_and_its_bound(choices: list[Reader], budget: int) -> None:
    chosen = choose_ranks(choices, budget)
    ranks = dict(chosen.ranks) | dict.fromkeys(chosen.digital, DIGITAL)
    assert sorted(ranks) == sorted(each.name for each in choices)
    assert chosen.macs == pytest.approx(macs_of(choices, ranks)) and chosen.macs <= budget
    assert chosen.worth == pytest.approx(worth_of(choices, ranks))
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


def test_digital_where_that_is_worth_more_than_directions() -> None:
    flat = Reader("a", "x", 4, 4, np.full(4, 0.1), whole=(16, 2.0))
    steep = Reader("b", "y", 4, 4, np.asarray([1.0, 0.1]), whole=(16, 1.2))
    chosen = choose_ranks([flat, steep], 24)
    assert chosen.digital == {"a"} and chosen.ranks == {"b": 1}
    assert choose_ranks([flat], 15).digital == frozenset()
