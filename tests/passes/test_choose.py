"""Merging and cutting by an objective, held against every fixed way."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from programs import compiled, llama, program_of

from afmc.compiler.pipeline import configure, load_passes, with_objective
from afmc.errors import OptionError
from afmc.passes import name_of, options_of
from afmc.passes.cutting.choose import Company, ways
from afmc.passes.cutting.cuts import STYLES
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.targets import Target, load_target


def small() -> Program:
    """The shapes of SmolLM2-135M on tiles of 1024 x 1024, all a sixteenth, with fewer layers."""
    return llama(layers=4, hidden=36, kv=12, wide=96, vocabulary=576)


def tile_of_64(rule: str) -> Target:
    figures = {"crossbar.rows": 64, "crossbar.columns": 64, "tile.co_location": rule}
    return load_target("ideal-512", figures)


def row_cuts(program: Program) -> int:
    """For each column of a matrix, the row cuts that it crosses."""
    slices = {(b["group"], b["row"]) for b in program.blocks}
    per_group = np.bincount([group for group, _ in slices])
    return sum((n - 1) * group.cols for n, group in zip(per_group, program.groups, strict=True))


def figures(program: Program) -> dict[str, float]:
    proof = program.allocation
    assert proof is not None
    return {
        "tiles": proof.tiles,
        "turns": round(proof.mean_turns * proof.tiles),
        "row cuts": row_cuts(program),
        "reads": len(program.blocks),  # every matrix is used once a token
    }


FIXED = [
    {"merge.enabled": merged, "split.style": style}
    for merged, style in product((True, False), STYLES)
]


@pytest.mark.parametrize("rule", ["exclusive", "parallel", "serial"])
def test_no_fixed_way_is_better(rule: str) -> None:
    target = tile_of_64(rule)
    fixed = [figures(compiled(small(), target, settings)) for settings in FIXED]
    best = {
        objective: figures(compiled(small(), target, {"merge.objective": objective}))
        for objective in ("tiles", "latency", "energy", "accuracy")
    }
    assert best["tiles"]["tiles"] <= min(f["tiles"] for f in fixed)
    fewest_cuts = min(f["row cuts"] for f in fixed)
    assert best["accuracy"]["row cuts"] == best["latency"]["row cuts"] == fewest_cuts
    assert best["accuracy"]["tiles"] <= min(
        f["tiles"] for f in fixed if f["row cuts"] == fewest_cuts
    )
    assert best["energy"]["reads"] == min(f["reads"] for f in fixed)
    assert best["latency"]["turns"] == best["latency"]["tiles"]  # nothing waits
    assert best["tiles"]["tiles"] <= best["accuracy"]["tiles"] <= best["latency"]["tiles"]


def test_more_row_cuts_for_fewer_tiles_or_fewer_for_accuracy() -> None:
    target = tile_of_64("serial")
    tiles = figures(compiled(small(), target))
    accuracy = figures(compiled(small(), target, {"merge.objective": "accuracy"}))
    assert tiles["tiles"] < accuracy["tiles"]
    assert tiles["row cuts"] > accuracy["row cuts"]


def test_latency_keeps_to_layouts_in_which_nothing_waits() -> None:
    proof = compiled(small(), tile_of_64("serial"), {"merge.objective": "latency"}).allocation
    assert proof is not None
    assert (proof.rule, proof.turns, proof.mean_turns) == ("parallel", 1, 1.0)


def test_matrices_of_a_kind_are_treated_alike() -> None:
    mapped = compiled(small(), tile_of_64("serial"))
    cut: dict[str, list[object]] = {}
    for index, group in enumerate(mapped.groups):
        mine = mapped.blocks[mapped.blocks["group"] == index]
        kind = ".".join("*" if part.isdigit() else part for part in group.name.split("."))
        layout = mine[["row", "col", "rows", "cols"]].tolist()
        assert cut.setdefault(kind, layout) == layout


def test_merged_where_that_saves_tiles_and_apart_where_it_does_not() -> None:
    """Side by side a and b fill a tile; c and d would need a third tile for what is left over."""
    figures = {"crossbar.rows": 8, "crossbar.columns": 8}
    halves = [Matrix(name, 8, 4, "x", module=name) for name in "ab"]
    merged = compiled(program_of(halves), load_target("ideal-512", figures))
    assert [group.members for group in merged.groups] == [("a", "b")]

    # On a tile of 8 x 8 a block of 4 x 5 has one of 4 x 3 beside it on the diagonal. Merged, the
    # two are 4 x 8, and nothing shares their columns.
    apart = [
        Matrix("c", 4, 5, "x", module="c"),
        Matrix("d", 4, 3, "x", module="d"),
        Matrix("e", 4, 5, "y", module="e"),
        Matrix("f", 4, 3, "z", module="f"),
    ]
    program = compiled(
        program_of(apart), load_target("ideal-512", figures), {"allocate.rule": "parallel"}
    )
    assert program.allocation is not None and program.allocation.tiles == 2


def test_ways_that_come_to_the_same_are_one() -> None:
    company = Company(rows=512, cols=(512,), copies=1, per_token=1.0)
    assert len(ways(company, (True,), STYLES, (512, 512), "serial")) == 1
    remainder = Company(rows=512, cols=(896,), copies=1, per_token=1.0)
    found = ways(remainder, (True,), STYLES, (512, 512), "serial")
    assert [way.styles for way in found] == [
        (("full", "full"),),
        (("full", "balanced"),),
        (("full", "halved"),),
    ]


def test_what_a_way_takes() -> None:
    """Experts: every copy is there, and of 8 copies 2 are read for a token."""
    company = Company(rows=600, cols=(512, 512), copies=8, per_token=2.0)
    merged, apart = (
        ways(company, (together,), ("full",), (512, 1024), "exclusive")[0]
        for together in (True, False)
    )
    assert merged.units == (((88, 1024), 8), ((512, 1024), 8))
    assert apart.units == (((88, 512), 16), ((512, 512), 16))
    assert merged.row_cuts == apart.row_cuts == 8 * 1024
    assert (merged.reads, apart.reads) == (4, 8)
    assert merged.conversions == apart.conversions == 2 * 2 * 1024


# Options that follow others.


def test_options_follow_those_that_they_are_of() -> None:
    settings = {"allocate.rule": "serial", "merge.objective": "energy", "split.style": "full"}
    options = {name_of(step): options_of(step) for step in configure(load_passes(), settings)}
    assert options["merge"]["rule"] == options["split"]["rule"] == "serial"
    assert options["split"]["objective"] == options["allocate"]["objective"] == "energy"
    assert options["merge"]["style"] == "full"


def test_an_option_that_is_set_itself_does_not_follow() -> None:
    settings = {"allocate.rule": "serial", "split.rule": "parallel"}
    options = {name_of(step): options_of(step) for step in configure(load_passes(), settings)}
    assert (options["merge"]["rule"], options["split"]["rule"]) == ("serial", "parallel")


def test_an_objective_is_that_of_every_pass_that_has_one() -> None:
    steps = with_objective(load_passes(), "latency")
    asked = {name_of(s): options_of(s).get("objective") for s in steps}
    assert {name for name, objective in asked.items() if objective == "latency"} == {
        "merge",
        "split",
        "allocate",
    }


@pytest.mark.parametrize(
    ("objective", "passes", "sentence"),
    [
        (
            "latencie",
            ["merge", "split"],
            "--objective must be 'tiles', 'latency', 'energy' or 'accuracy', but is 'latencie'. "
            "Did you mean 'latency'?",
        ),
        (
            "tiles",
            ["partition", "place"],
            "none of the passes partition, place decides by an objective.",
        ),
    ],
)
def test_bad_objectives(objective: str, passes: list[str], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        with_objective(load_passes(passes), objective)
    assert str(caught.value) == sentence
