"""Whole programs on whole targets: rules, bounds and determinism."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from profiles import examples
from programs import compiled, program_of
from strategies import SETTINGS, programs, targets

from afmc.passes.packing.patterns import maximal_patterns
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.program.rules import problems
from afmc.targets import Target, load_target


@settings(max_examples=examples(60))
@given(programs(), targets(), SETTINGS)
def test_every_pass_keeps_the_rules(
    program: Program, target: Target, options: dict[str, object]
) -> None:
    mapped = compiled(program, target, options)  # checks the rules after each pass
    proof = mapped.allocation
    assert proof is not None
    once = mapped.blocks[mapped.blocks["replica"] == 0]
    assert once["rows"].astype(int) @ once["cols"] == sum(m.weights for m in program.matrices)
    area = mapped.blocks["rows"].astype(int) @ mapped.blocks["cols"]
    assert proof.lower_bound <= proof.tiles <= len(mapped.blocks)
    assert proof.tiles * target.crossbar.rows * target.crossbar.columns >= area

    again = compiled(program, target, options)
    for table in ("blocks", "allocations", "placements"):
        assert getattr(mapped, table).tobytes() == getattr(again, table).tobytes()
    assert again.allocation == proof
    assert list(problems(mapped, target)) == []


def brute_force(shapes: list[tuple[int, int]], tile: tuple[int, int]) -> int:
    """Fewest tiles, by trying every partition. Blocks share neither a row nor a column."""
    best = len(shapes)

    def place(index: int, bins: list[tuple[int, int]]) -> None:
        nonlocal best
        if len(bins) >= best:
            return
        if index == len(shapes):
            best = len(bins)
            return
        rows, cols = shapes[index]
        for i, (used_rows, used_cols) in enumerate(bins):
            if used_rows + rows <= tile[0] and used_cols + cols <= tile[1]:
                grown = (used_rows + rows, used_cols + cols)
                place(index + 1, [*bins[:i], grown, *bins[i + 1 :]])
        place(index + 1, [*bins, (rows, cols)])

    place(0, [])
    return best


def test_parallel_is_optimal_against_brute_force() -> None:
    random = np.random.default_rng(5)
    target = load_target(
        "ideal-512", {"crossbar.rows": 10, "crossbar.columns": 10, "tile.co_location": "parallel"}
    )
    for _ in range(25):
        shapes = [(int(r), int(c)) for r, c in random.integers(1, 8, (7, 2))]
        matrices = [
            Matrix(f"m{i}", r, c, f"x{i}", module=f"m{i}") for i, (r, c) in enumerate(shapes)
        ]
        whole = compiled(program_of(matrices), target, {"split.style": "full"}).allocation
        assert whole is not None
        assert whole.status == "OPTIMAL"
        assert whole.tiles == brute_force(shapes, (10, 10))
        cut = compiled(program_of(matrices), target).allocation  # where more cuts save tiles
        assert cut is not None and cut.tiles <= whole.tiles


def test_maximal_patterns_are_all_and_only_the_maximal_ones() -> None:
    shapes = np.asarray([[3, 2], [2, 5], [1, 1]])
    demand = np.asarray([2, 2, 4])
    found = maximal_patterns(shapes, demand, (8, 9), 10_000)
    assert found is not None

    def fits(counts: tuple[int, ...]) -> bool:
        used = np.asarray(counts) @ shapes
        return bool((used <= (8, 9)).all()) and bool((np.asarray(counts) <= demand).all())

    candidates = [c for c in itertools.product(range(3), range(3), range(5)) if fits(c)]
    maximal = {
        c
        for c in candidates
        if not any(d != c and all(x >= y for x, y in zip(d, c, strict=True)) for d in candidates)
    }
    assert {tuple(row) for row in found.tolist()} == maximal
    assert maximal_patterns(shapes, demand, (8, 9), 5) is None  # more than that to look at
