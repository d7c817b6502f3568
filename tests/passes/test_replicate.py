"""Replicas: exact against trying everything, proofs, and where they are of no use."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from programs import compiled, llama, program_of, smollm2

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.errors import OptionError
from afmc.passes import replicate
from afmc.passes.merge import Merge
from afmc.passes.replicate import Replicate
from afmc.passes.split import Split
from afmc.program.model import Matrix
from afmc.program.program import Program, Replication
from afmc.program.rules import problems
from afmc.targets import load_target

TARGET = load_target("ideal-512", {"crossbar.rows": 10, "crossbar.columns": 10})

# blocks, uses of all copies for one token, copies
Shape = tuple[int, int, int]


def split(shapes: Sequence[Shape]) -> Program:
    """Matrices of so many blocks, uses and copies, cut into blocks."""
    matrices = [
        Matrix(f"m{i}", 10, 10 * blocks, f"x{i}", copies=copies, per_token=uses, module=f"m{i}")
        for i, (blocks, uses, copies) in enumerate(shapes)
    ]
    program = Merge()(Program(program_of(matrices).model, tuple(matrices), digital={}), TARGET)
    return Split()(program, TARGET)


def replicated(program: Program, step: Replicate) -> tuple[Program, Replication]:
    result = step(program, TARGET)
    assert list(problems(result, TARGET)) == []
    assert result.replication is not None
    return result, result.replication


def best_of_all(shapes: Sequence[Shape], budget: int, tokens: int) -> tuple[int, int]:
    """Fewest turns of the busiest and of all in a row, by trying every number of replicas."""
    uses = [Fraction(n, copies) * tokens for _, n, copies in shapes]
    most = [range(1, max(1, ceil(n)) + 1) for n in uses]
    busiest = in_a_row = 10**9
    for replicas in itertools.product(*most):
        pairs = zip(shapes, replicas, strict=True)
        if sum(blocks * copies * r for (blocks, _, copies), r in pairs) > budget:
            continue
        turns = [max(1, ceil(n / r)) for n, r in zip(uses, replicas, strict=True)]
        busiest, in_a_row = min(busiest, max(turns)), min(in_a_row, sum(turns))
    return busiest, in_a_row


shapes_ = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 6), st.sampled_from([1, 1, 2, 3])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=examples(60))
@given(shapes_, st.integers(0, 40), st.sampled_from([1, 2]))
def test_both_objectives_are_exact(shapes: list[Shape], more: int, tokens: int) -> None:
    program = split(shapes)
    budget = len(program.blocks) + more
    busiest, in_a_row = best_of_all(shapes, budget, tokens)
    for objective, best in (("throughput", busiest), ("latency", in_a_row)):
        result, proof = replicated(program, Replicate(budget, objective, tokens))  # type: ignore[arg-type]
        assert (proof.turns, proof.lower_bound, proof.status) == (best, best, "OPTIMAL")
        assert proof.crossbars == len(result.blocks) <= proof.budget == budget
        assert proof.turns <= proof.turns_alone


def test_equal_layers_may_take_different_numbers_of_replicas() -> None:
    """Three layers used eight times, and crossbars for two of them twice."""
    result, proof = replicated(split([(1, 8, 1)] * 3), Replicate(5, "latency"))
    assert [group.replicas for group in result.groups] == [(), (2,), (2,)]
    assert (proof.turns, proof.turns_alone) == (4 + 4 + 8, 24)


def test_the_solver_beats_the_convex_hull(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that saves less a crossbar, but spends what is left."""
    program = split([(4, 8, 1), (1, 9, 1), (2, 8, 1)])
    _, proof = replicated(program, Replicate(14, "latency"))
    assert (proof.turns, proof.lower_bound, proof.status) == (13, 13, "OPTIMAL")
    monkeypatch.setattr(replicate, "_MOST_CHOICES", 0)
    _, proof = replicated(program, Replicate(14, "latency"))
    assert (proof.turns, proof.lower_bound, proof.status) == (14, 12, "FEASIBLE")


@pytest.mark.parametrize("objective", ["throughput", "latency"])
def test_more_crossbars_never_take_more_turns(objective: str) -> None:
    program = split([(3, 50, 1), (1, 7, 1), (2, 20, 4), (2, 50, 1)])
    turns, crossbars = [], []
    for budget in range(len(program.blocks), 120, 5):
        _, proof = replicated(program, Replicate(budget, objective))  # type: ignore[arg-type]
        turns.append(proof.turns)
        crossbars.append(proof.crossbars)
    assert turns == sorted(turns, reverse=True) and turns[0] > turns[-1]
    more = [replicated(program, Replicate(60, objective, n))[1].turns for n in (1, 2, 3, 10)]  # type: ignore[arg-type]
    assert more == sorted(more) and more[0] < more[-1]


def test_as_few_crossbars_as_the_turns_take() -> None:
    """Seven replicas of ten uses take two turns, as five do."""
    result, proof = replicated(split([(1, 10, 1), (4, 2, 1)]), Replicate(11))
    assert result.groups[0].replicas == (5,) and result.groups[1].replicas == ()
    assert (proof.turns, proof.crossbars) == (2, 9)


def test_experts_share_the_uses_of_their_bank() -> None:
    """Eight experts, two for a token: one of 64 tokens in four is for each."""
    program = split([(2, 2, 8), (1, 1, 1)])
    result, proof = replicated(program, Replicate(40, tokens=64))
    assert proof.turns_alone == 64  # of the other matrix
    assert result.groups[0].replicas == (2,) * 8 and result.groups[1].replicas == (8,)
    assert proof.turns == 8
    numbers = result.blocks[["group", "copy", "replica"]]
    assert len(np.unique(numbers)) == 8 * 2 + 8 and len(result.blocks) == 8 * 2 * 2 + 8


def test_popular_experts_get_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Program, "uses_of", lambda self, group: (Fraction(3, 4), Fraction(1, 8), Fraction(1, 8))
    )
    result, proof = replicated(split([(1, 1, 3)]), Replicate(8, tokens=16))
    assert result.groups[0].replicas == (6, 1, 1)
    assert (proof.turns_alone, proof.turns) == (12, 2)


def test_nothing_is_gained_where_everything_is_used_once_a_token() -> None:
    """A token at a time through a language model."""
    plain = compiled(smollm2(), "afm-512-projected")
    for objective in ("throughput", "latency"):
        options = {"replicate.tiles": 5000, "replicate.objective": objective}
        program = compiled(smollm2(), "afm-512-projected", options)
        proof = program.replication
        assert proof is not None and proof.turns == proof.turns_alone == proof.lower_bound
        assert program.blocks.tobytes() == plain.blocks.tobytes()
    assert plain.replication is None


def test_a_prompt_gains() -> None:
    program = compiled(
        llama(layers=2, hidden=40, kv=8, wide=56, vocabulary=100),
        TARGET,
        {"replicate.tiles": 1000, "replicate.tokens": 12},
    )
    proof = program.replication
    assert proof is not None and proof.turns_alone == 12 and proof.turns == 4
    assert {group.replicas for group in program.groups} == {(3,)}
    assert program.allocation is not None and program.allocation.tiles == proof.crossbars <= 1000


def test_stacked_on_few_tiles_all_replicas_are_there() -> None:
    target = load_target("ideal-512", {**TARGET.overrides, "tile.co_location": "parallel"})
    matrices = [Matrix("a", 4, 4, "x", module="a"), Matrix("b", 12, 7, "y", module="b")]
    settings = {"replicate.tiles": 9, "replicate.tokens": 3}
    program = compiled(program_of(matrices), target, settings)
    assert [group.replicas for group in program.groups] == [(3,), (3,)]
    assert program.allocation is not None
    assert program.allocation.tiles < len(program.blocks) == 9  # fewer tiles than the budget


BAD: list[tuple[dict[str, object], str]] = [
    (
        {"replicate.tiles": 971},
        "replicate.tiles is 971, but one copy of everything takes 972 crossbars: give at least as "
        "many.",
    ),
    (
        {"replicate.tiles": -3},
        "replicate.tiles is -3, but one copy of everything takes 972 crossbars: give at least as "
        "many.",
    ),
    (
        {"replicate.tiles": 2000, "replicate.tokens": 0},
        "replicate.tokens and replicate.time_limit_s must be positive.",
    ),
    (
        {"replicate.time_limit_s": -1},
        "replicate.tokens and replicate.time_limit_s must be positive.",
    ),
    (
        {"replicate.objective": "speed"},
        "--set replicate.objective=speed: input should be 'throughput', 'latency' or 'accuracy'.",
    ),
    (
        {"replicate.tiles": 2.5},
        "--set replicate.tiles=2.5: input should be a valid integer, got a number with a "
        "fractional part.",
    ),
    (
        {"replicate.budget": 5},
        "--set replicate.budget: no such option; its options are tiles, objective, tokens, "
        "time_limit_s.",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), BAD)
def test_bad_options_get_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        run_passes(smollm2(), load_target("afm-512-projected"), configure(load_passes(), options))
    assert str(caught.value) == sentence
