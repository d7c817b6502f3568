"""Tile counts of real shapes, with their proofs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from programs import compiled, llama, program_of, smollm2

from afmc.errors import OptionError
from afmc.program.layout import chips_used
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.targets import load_target

UNMERGED = {"merge.enabled": False}


def gpt2() -> Program:
    """GPT-2 124M with q, k and v apart, as the known counts have it."""
    attention = tuple((name, 768, 768) for name in "qkvo")
    shapes = (*attention, ("up", 768, 3072), ("down", 3072, 768))
    return program_of(
        [
            Matrix(f"h.{i}.{name}", rows, cols, f"h.{i}.{name}.in", module=f"h.{i}.{name}")
            for i in range(12)
            for name, rows, cols in shapes
        ]
        + [Matrix("lm_head.weight", 768, 50257, "norm", module="lm_head")]
    )


def qwen2() -> Program:
    return llama(layers=24, hidden=896, kv=128, wide=4864, vocabulary=151936)


# model, crossbar, blocks, tiles under `parallel` and the proven bound, all without merging:
# one-block-a-tile counts of every peer. Where blocks had to share neither a row nor a column, it
# was known to be 2,856, 1,002, 348, 654, 170, 2,322 and 605; neighbours on the same rows with the
# same input need fewer. Where families
# of partial blocks are too large to list all ways to group them, the bound is weaker.
KNOWN = [
    (smollm2, 256, 2916, 2751, 2601),
    (smollm2, 512, 1092, 942, 942),
    (smollm2, 1024, 348, 258, 258),
    (gpt2, 512, 678, 654, 654),
    (gpt2, 1024, 170, 170, 170),
    (qwen2, 512, 2322, 2208, 2208),
    (qwen2, 1024, 605, 581, 581),
]


@pytest.mark.parametrize(("make", "size", "blocks", "tiles", "bound"), KNOWN)
@pytest.mark.parametrize("max_patterns", [20_000, 1])  # listed, and generated on demand
def test_known_counts(  # type: ignore[no-untyped-def]
    make, size: int, blocks: int, tiles: int, bound: int, max_patterns: int
) -> None:
    target = load_target("ideal-512", {"crossbar.rows": size, "crossbar.columns": size})
    settings = {**UNMERGED, "allocate.max_patterns": max_patterns}

    alone = compiled(make(), target, settings)
    packed = compiled(make(), target, {**settings, "allocate.rule": "parallel"})

    assert alone.allocation is not None and packed.allocation is not None
    assert len(alone.blocks) == alone.allocation.tiles == blocks
    assert (packed.allocation.tiles, packed.allocation.lower_bound) == (tiles, bound)
    assert alone.allocation.status == "OPTIMAL"
    assert packed.allocation.status == ("OPTIMAL" if tiles == bound else "FEASIBLE")


def test_merging_saves_blocks_and_tiles() -> None:
    merged = compiled(smollm2(), "afm-512-projected")
    packed = compiled(smollm2(), "afm-512-projected", {"allocate.rule": "parallel"})
    assert merged.allocation is not None and packed.allocation is not None
    assert (len(merged.blocks), packed.allocation.tiles) == (972, 942)
    assert packed.allocation.status == "OPTIMAL"
    assert merged.groups[0].name == "model.layers.0.self_attn.{q_proj,k_proj,v_proj}.weight"


def test_matrices_with_other_ranges_are_not_merged() -> None:
    """One row driver has one range."""
    a = Matrix("a", 8, 8, "x", input_range=1.0, module="a")
    b = replace(a, name="b", module="b")
    c = replace(a, name="c", module="c", input_range=2.0)
    d = replace(a, name="d", module="d", input="y")
    groups = compiled(program_of([a, b, c, d]), "afm-512-projected").groups
    assert [group.members for group in groups] == [("a", "b"), ("c",), ("d",)]


def test_hermes_needs_chips() -> None:
    program = compiled(smollm2(), "hermes-64")
    assert chips_used(program.placements) == 45  # 2,826 tiles of 64 a chip
    assert chips_used(compiled(smollm2(), "hermes-64", UNMERGED).placements) == 46


def test_tiers_fill_tile_after_tile() -> None:
    target = load_target("ideal-512", {"chip.tiles": 10, "tile.tiers": 4})
    program = compiled(smollm2(), target)
    first = program.placements[:12]
    assert first["tile"].tolist() == [*range(10), 0, 1]
    assert first["tier"].tolist() == [0] * 10 + [1] * 2
    assert chips_used(program.placements) == 25  # 972 arrays, 40 a chip


def test_digital_patterns() -> None:
    kept = compiled(
        smollm2(), "afm-512-projected", {"partition.digital": ("lm_head", "*.3.mlp.*", "k_proj")}
    )
    assert kept.digital is not None
    assert len(kept.digital) == 1 + 3 + 30
    assert kept.digital["lm_head.weight"] == "kept digital by the pattern 'lm_head'"
    assert len(kept.analog) == 211 - 34


def test_a_pattern_that_matches_nothing() -> None:
    with pytest.raises(OptionError) as caught:
        compiled(smollm2(), "afm-512-projected", {"partition.digital": ("lm_haed",)})
    assert str(caught.value) == (
        "--digital 'lm_haed' matches none of the 211 matrices of test. Did you mean 'lm_head'?"
    )


def test_products_inside_other_modules_stay_digital() -> None:
    router = Matrix("gate.weight", 8, 4, "x", module="gate", layer="TopKRouter")
    other = Matrix("a", 8, 8, "x", module="a")
    program = compiled(program_of([router, other]), "afm-512-projected")
    assert program.digital == {
        "gate.weight": "its product is part of TopKRouter, which a tile cannot stand in for"
    }
    with pytest.raises(OptionError, match="nothing of test is left for the tiles"):
        compiled(program_of([router]), "afm-512-projected")
