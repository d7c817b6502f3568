"""A closer look at a mapping: layers, tiles and reasons, as text and as data."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import kept
import numpy as np
import pytest
import written
from hypothesis import given, settings
from hypothesis import strategies as st
from printing import shown
from profiles import examples
from programs import compiled, program_of
from strategies import SETTINGS, programs, targets

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.errors import OptionError
from afmc.fit import Lever, Rule
from afmc.hardware.defects import load_defects
from afmc.inspect import (
    layer_json,
    render,
    render_layer,
    render_tile,
    render_why,
    tile_json,
    why_json,
)
from afmc.inspect.picture import draw
from afmc.inspect.selection import select
from afmc.program.compiled import CompiledProgram
from afmc.program.layout import layout_of
from afmc.program.model import Matrix
from afmc.program.program import LINE, ORDER, Program
from afmc.targets import Target


def small(rule: Rule = "parallel") -> CompiledProgram:
    return CompiledProgram(kept.program(rule), kept.target(rule), (), {})


@cache
def smollm2() -> CompiledProgram:
    lever = Lever("--set allocate.rule=serial --digital lm_head", 405, 7, "it can", 0.211)
    measured = {"wall_s": 1.0, "peak_rss_mb": 2.0}
    return CompiledProgram(written.program(), written.TARGET, (lever,), measured)


LAYER = """
 layer          q of kept on afm-512-projected
 matrices       1 (1 analog, 0 digital); 128 weights
 merged with    k.weight; columns 0 to 7 are this one's
 input range    ±2, in units of the activation
 shares tiles   with k.weight (2 blocks on 1 crossbar)

matrices; cells: their share of those of their crossbars

 matrix     rows x cols   range   cut into   blocks   crossbars   chips   cells
 ──────────────────────────────────────────────────────────────────────────────
 q.weight        16 x 8       2    2*8 x 8        2           1       1    67 %

where the blocks are; its: of the crossbar

 rows   columns   chip/tile/tier   its rows   its columns
 ────────────────────────────────────────────────────────
 0-7        0-7            0/0/0        0-7           0-7
 8-15       0-7            0/0/0       8-15           0-7
"""

EXPERTS = """
 copy   replica   rows   columns   chip/tile/tier   its rows   its columns
 ─────────────────────────────────────────────────────────────────────────
 0            0    0-5       0-5            0/0/1      10-15          6-11
 0            1    0-5       0-5            1/0/0        0-5           0-5
 1            0    0-5       0-5            1/0/0       6-11          6-11
 2            0    0-5       0-5            1/0/1        0-5           0-5
"""

NARROW = """
 matrix
   rows x cols         cut into  blocks  crossbars  chips  cells
 ───────────────────────────────────────────────────────────────
 model.layers.2.self_attn.q_proj.weight
     576 x 576  512+64 x 512+64       4          4      1   32 %
 model.layers.2.self_attn.k_proj.weight
     576 x 192     512+64 x 192       2          2      1   21 %
 and 5 more (--lines)
"""

TILE = """
 tile         0 of chip 0, kept on afm-512-projected
 tier         1 of 2
 crossbar     16 rows x 12 columns
 cells used   50.0 %, 2 blocks

rows and columns of the matrix; its: of the crossbar

 matrix       rows   columns   its rows   its columns    cells
 ─────────────────────────────────────────────────────────────
 a b.weight    0-9       0-5        0-9           0-5   31.2 %
 b experts     0-5       0-5      10-15          6-11   18.8 %

┌────────────┐
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│aaaaaa······│
│······bbbbbb│
│······bbbbbb│
│······bbbbbb│
│······bbbbbb│
│······bbbbbb│
│······bbbbbb│
└────────────┘"""

TIERS = """
 tile       0 of chip 1, kept on afm-512-projected
 tiers      2 of 2 hold something
 crossbar   16 rows x 12 columns

tiers (--tile 1/0/0 shows one)

 tier   blocks   cells   matrices
 ────────────────────────────────
 0           2    38 %   experts
 1           1    19 %   experts
"""

WHY = """\
lm_head.weight: digital

 digital   kept digital by the pattern 'lm_head'.
 use       one product of 576 x 49,152 for a token.
 tied      it is the same weights as model.embed_tokens.weight.
 lever     --set allocate.rule=serial --digital lm_head (405 tiles, 7 chips, 21.1 % of
           multiply-accumulates go digital, requires that it can).
"""

WHY_EXPERTS = """\
b.weight: analog

 analog        its product, aten.linear.default in Linear, is one that a tile can stand in for;
               what it computes is not ranked, and no pattern keeps it digital.
 not merged    no other matrix reads its input (y).
 cut           not at all: 10 x 6 fits a crossbar of 16 x 12.
 tiles         the rule is parallel, which is the target's; it shares crossbars with experts.
 replicas      none: of 10 crossbars it got no more, for the throughput of 4 tokens at once.
 input range   ±1, from the model.
 use           one product of 10 x 6 for a token.
 after         from its output the input of experts is computed, digitally.
 bias          b.bias is added digitally.
 tied          it is the same weights as e.weight.
"""


def test_a_matrix_that_is_merged_with_another() -> None:
    assert shown(render_layer(small(), "q", 20)) == LAYER


def test_experts_with_replicas() -> None:
    text = shown(render_layer(small(), "experts", 20))
    assert text.endswith(EXPERTS)
    assert "1 more copy of the weights of 1 matrix" in text


def test_long_names_have_lines_of_their_own_in_a_narrow_terminal() -> None:
    text = shown(render_layer(smollm2(), "model.layers.2", 2), 64)
    assert NARROW in text
    assert all(len(line) <= 64 for line in text.splitlines())


def test_no_table_is_longer_than_it_may_be() -> None:
    text = shown(render_layer(smollm2(), "*", 5), 160)
    assert len(text.splitlines()) < 35
    assert "and 206 more (--lines)" in text and "where the 780 blocks are, by chip" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_wraps_nowhere_within_a_word(width: int) -> None:
    text = shown(render(smollm2()), width)
    for name in ("{q_proj,k_proj,v_proj}.weight", "model.layers.*.mlp.down_proj.weight", "512+448"):
        assert name in text
    assert "…" not in text and all(len(line) <= width for line in text.splitlines())


def test_blocks_as_data() -> None:
    found = json.loads(json.dumps(layer_json(small(), "?.weight")))
    assert [row["name"] for row in found["matrices"]] == [
        *("q.weight", "k.weight", "b.weight", "d.weight"),
    ]
    k, digital = found["matrices"][1], found["matrices"][3]
    assert (k["columns_in_group"], k["merged_with"]) == ([8, 12], ["q.weight"])
    assert digital["side"] == "digital" and "blocks" not in digital
    assert found["blocks"][2] == {
        "matrix": "k.weight", "block": 1, "copy": 0, "replica": 0, "row": 0, "col": 0, "rows": 8,
        "cols": 4, "chip": 0, "tile": 0, "tier": 0, "at_row": 0, "at_col": 8,
    }  # fmt: skip
    assert found["blocks_total"] == 5
    assert found["shares_tiles_with"] == [{"matrices": "experts", "blocks": 1, "crossbars": 1}]
    assert layer_json(small(), "d")["blocks"] == []


@given(program=programs(), target=targets(), options=SETTINGS)
@settings(max_examples=examples(20))
def test_parts_cover_every_matrix_once(
    program: Program, target: Target, options: dict[str, Any]
) -> None:
    mapped = run_passes(program, target, configure(load_passes(), options))
    parts = layout_of(mapped, target).parts
    assert set(parts["block"].tolist()) == set(range(len(mapped.blocks)))
    for index, matrix in enumerate(mapped.matrices):
        mine = parts[parts["matrix"] == index]
        [group] = [g for g in mapped.groups if matrix.name in g.members]
        for replica in range(max(group.replicas, default=1)):
            held = np.zeros((matrix.rows, matrix.cols), int)
            for part in mine[mine["replica"] == replica]:
                rows = slice(part["row"], part["row"] + part["rows"])
                held[rows, part["col"] : part["col"] + part["cols"]] += 1
            assert (held == 1).all()


def test_a_tile_with_a_picture() -> None:
    assert shown(render_tile(small(), "0/0/1", 20)) == TILE


def test_the_tiers_of_a_tile() -> None:
    assert shown(render_tile(small(), "1/0", 20)) == TIERS


def test_an_empty_tile_of_a_system_that_has_it() -> None:
    assert "holds      nothing" in shown(render_tile(small(), "4/0/1", 20))


def test_defects_and_the_order_of_lines() -> None:
    target = kept.target("parallel")
    program = replace(
        kept.program("parallel"),
        defects=load_defects("cells_off=0.1,seed=1", target),
        orders=np.array([(0, 0, 1, 16, 12)], ORDER),
        lines=np.array([*range(15, -1, -1), *range(12)], LINE),
    )
    artifact = CompiledProgram(program, target, (), {})
    found = tile_json(artifact, "0/0/1")["crossbars"][0]
    assert found["order"]["rows"] == list(range(15, -1, -1))
    stuck = found["defects"]["stuck_devices"]
    assert 0 < stuck < found["defects"]["devices"]
    text = shown(render_tile(artifact, "0/0/1", 20), 160)
    assert f"{stuck} stuck devices" in text
    assert "permuted: rows are filled in the order 15, 14, 13, 12, 11, 10, 9, 8, ..." in text
    dead = replace(
        program,
        defects=load_defects("rows=0.2,tiles=0.3,seed=3", target),
        orders=np.zeros(0, ORDER),
    )
    lines = {
        shown(render_tile(CompiledProgram(dead, target, (), {}), f"{c}/0/0", 9)) for c in range(5)
    }
    assert any("the crossbar is dead" in each for each in lines)
    assert any("dead rows (" in each and "without the dead lines" in each for each in lines)


@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    count=st.integers(0, 60),
)
def test_pictures_are_no_larger_than_they_may_be(rows: int, columns: int, count: int) -> None:
    picture = draw(rows, columns, [(0, 0, rows, columns)] * count)
    if count > 52:
        assert picture == []
        return
    assert len(picture) == min(rows, 16) + 2
    assert {len(line) for line in picture} == {min(columns, 64) + 2}
    inside = {character for line in picture[1:-1] for character in line[1:-1]}
    assert inside == ({"·"} if count == 0 else {picture[1][1]}) and len(inside) == 1


def test_a_large_crossbar_is_drawn_to_scale() -> None:
    picture = draw(512, 512, [(0, 0, 512, 256), (256, 256, 256, 256)])
    assert picture[1] == f"│{'a' * 32}{'·' * 32}│" and picture[-2] == f"│{'a' * 32}{'b' * 32}│"
    assert [line[-2] for line in picture[1:-1]] == ["·"] * 8 + ["b"] * 8


def test_why_a_matrix_is_digital() -> None:
    assert shown(render_why(smollm2(), "lm_head", 20), 100) == WHY


def test_why_a_matrix_is_where_it_is() -> None:
    assert shown(render_why(small(), "b", 20), 100) == WHY_EXPERTS


@pytest.mark.parametrize(("tokens", "words"), [(1, "one token."), (4, "4 tokens at once.")])
def test_for_how_many_tokens_replicas_were_sought(tokens: int, words: str) -> None:
    artifact = small()
    claim = artifact.program.replication
    assert claim is not None
    program = replace(artifact.program, replication=replace(claim, tokens=tokens))
    text = shown(render_why(replace(artifact, program=program), "b", 20), 100)
    assert f"it got no more, for the throughput of {words}\n" in text


def reasons(artifact: CompiledProgram, name: str) -> dict[str, str]:
    [found] = why_json(artifact, name)["explained"]
    return {reason["about"]: reason["sentence"] for reason in found["reasons"]}


def test_matrices_that_are_alike_are_explained_together() -> None:
    [found] = why_json(smollm2(), "q_proj")["explained"]
    assert len(found["matrices"]) == 30
    sentences = {reason["about"]: reason["sentence"] for reason in found["reasons"]}
    assert sentences["merged"] == (
        "with model.layers.*.self_attn.k_proj.weight and model.layers.*.self_attn.v_proj.weight: "
        "they read one input by one input range, over the same 576 rows; "
        "merged by merge.enabled=auto, for the objective tiles under the rule parallel."
    )
    assert sentences["cut"] == (
        "the merged matrix of 576 x 960 into 512+64 x 512+448, 4 blocks, because a crossbar has "
        "512 rows and 512 columns; split.style=auto chose full for rows and full for columns, for "
        "the objective tiles under the rule parallel; the 2 partial sums of each column are added "
        "digitally."
    )
    text = shown(render_why(smollm2(), "*_proj", 1), 160)
    assert "model.layers.0.self_attn.q_proj.weight and 29 others of model.layers.*." in text
    assert "and 6 more kinds (--lines)" in text


def test_why_matrices_of_one_input_are_apart() -> None:
    matrices = (
        Matrix("a", 8, 8, "x", module="a", input_range=1.0),
        Matrix("b", 8, 8, "x", module="b", input_range=2.0),
        Matrix("c", 8, 8, "x", module="c", input_range=1.0),
        Matrix("d", 8, 8, "x", module="d", input_range=1.0),
    )
    target = kept.target("parallel")
    options = {"merge.enabled": False, "partition.digital": ("d",), "allocate.rule": "exclusive"}
    artifact = CompiledProgram(compiled(program_of(matrices), target, options), target, (), {})
    found = reasons(artifact, "a")
    assert found["not merged"] == (
        "b reads the same input, but by another input range, and a row driver has one; c reads the "
        "same input, and was left apart by merge.enabled=false; d reads the same input, but is "
        "digital."
    )
    assert found["analog"].endswith("and none of the patterns 'd' is about it.")
    assert found["tiles"] == (
        "the rule is exclusive, by allocate.rule=exclusive; it shares no crossbar with other "
        "matrices."
    )
    assert found["replicas"] == "none: no budget of crossbars was given (replicate.tiles)."


def test_what_a_name_means() -> None:
    program = smollm2().program
    every = {
        "lm_head": 1,
        "lm_head.weight": 1,
        "model": 210,
        "model.layers.3": 7,
        "model.layers.[0-2].mlp": 9,
        "k_proj": 30,
        "model.layers.*.self_attn.{q_proj,k_proj,v_proj}.weight": 90,
        "model.layers.1.self_attn.{q_proj,k_proj,v_proj}.weight": 3,
    }
    for name, count in every.items():
        assert len(select(program, name, "--layer")) == count, name


@pytest.mark.parametrize(
    ("name", "meant"),
    [("kproj", "k_proj"), ("model.layer.3", "model.layers.3"), ("lm-head", "lm_head")],
)
def test_names_that_nothing_has(name: str, meant: str) -> None:
    for option, question in (("--layer", layer_json), ("--why", why_json)):
        with pytest.raises(OptionError) as caught:
            question(smollm2(), name)
        assert str(caught.value) == (
            f"{option} {name!r} matches none of the 211 matrices of test. Did you mean '{meant}'?"
        )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("5/0", "--tile 5/0: there is no chip 5; the system has 5 chips, 0 to 4."),
        ("0/1", "there is no tile 1; a chip of afm-512-projected has tile 0 only."),
        ("0/0/2", "there is no tier 2; a tile of afm-512-projected has 2 tiers, 0 to 1."),
        ("0", "--tile '0' is not CHIP/TILE or CHIP/TILE/TIER, for instance 0/12 or 0/12/3."),
        ("-1/0", "--tile '-1/0' is not CHIP/TILE"),
    ],
)
def test_tiles_that_there_are_not(place: str, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        tile_json(small(), place)
    assert sentence in str(caught.value)
