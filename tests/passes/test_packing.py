"""Packings of blocks to tiles: layouts, bounds, turns; by brute force where that is possible."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import Size, cells_held, fewest_tiles, fits_without_overlap
from profiles import examples
from programs import compiled, program_of
from shapes import MODELS

from afmc.fit import Rule
from afmc.passes.packing.any_layout import AnyLayout
from afmc.passes.packing.bounds import best, dual_feasible, dual_feasible_lines
from afmc.passes.packing.demand import Choice, Counts, Demand
from afmc.passes.packing.guillotine import Raster, most_valuable
from afmc.passes.packing.guillotine_cuts import Plates
from afmc.passes.packing.layouts import Layout, Seat, counts_of
from afmc.passes.packing.pack import pack
from afmc.passes.packing.packed import Limits, Packed
from afmc.passes.packing.turns import turns_of
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.program.rules import problems
from afmc.targets import load_target

QUICK = Limits(time_limit_s=3.0)
AS_KNOWN: dict[str, object] = {"merge.enabled": False, "split.style": "full"}

# model, crossbar, blocks, and the tiles that it takes with a proof: where every matrix reads an
# input of its own, where q, k, v and gate, up read the same, and in any layout. The first two and
# the bounds of the last are known from enumeration.
KNOWN = [
    ("SmolLM-135M", (256, 256), 2_916, 2_856, 2_796, 2_052),
    ("SmolLM-135M", (512, 512), 1_092, 1_002, 942, 513),
    ("SmolLM-135M", (1024, 1024), 348, 348, 258, 243),
    ("GPT-2 124M", (512, 512), 678, 654, 654, 472),
    ("GPT-2 124M", (1024, 1024), 170, 170, 170, 169),
    ("GPT-2 XL", (512, 512), 8_460, 8_226, 8_226, 5_932),
    ("GPT-2 XL", (1024, 1024), 2_212, 2_164, 2_164, 2_018),
    ("Qwen2.5-0.5B", (512, 512), 2_322, 2_322, 2_226, 2_154),
    ("Qwen2.5-0.5B", (1024, 1024), 605, 605, 581, 557),
    ("Llama-3.2-1B", (512, 512), 4_716, 4_716, 4_716, 4_714),
    ("Llama-3.2-1B", (1152, 256), 4_714, 4_714, 4_714, 4_586),
    ("Phi-3-mini", (512, 512), 14_202, 14_202, 14_202, 14_202),
    ("Llama-3-8B", (1152, 256), 28_116, 28_116, 28_116, 27_604),
    ("Mixtral-8x7B", (512, 512), 177_912, 177_912, 177_912, 177_656),
]


@pytest.mark.parametrize(("name", "tile", "blocks", "apart", "parallel", "serial"), KNOWN)
def test_known_counts(
    name: str, tile: Size, blocks: int, apart: int, parallel: int, serial: int
) -> None:
    target = load_target("ideal-512", {"crossbar.rows": tile[0], "crossbar.columns": tile[1]})
    start = MODELS[name]()
    inputs = tuple(replace(matrix, input=matrix.name) for matrix in start.matrices)
    cases: tuple[tuple[Program, Rule, int], ...] = (
        (start, "exclusive", blocks),
        (replace(start, matrices=inputs), "parallel", apart),
        (start, "parallel", parallel),
        (start, "serial", serial),
    )
    for program, rule, tiles in cases:
        mapped = compiled(program, target, {**AS_KNOWN, "allocate.rule": rule})
        proof = mapped.allocation
        assert proof is not None and len(mapped.blocks) == blocks
        assert (proof.tiles, proof.lower_bound, proof.status) == (tiles, tiles, "OPTIMAL"), rule
        assert (proof.turns > 1) == (rule == "serial" and tiles < blocks)


def packed(blocks: list[Size], tile: Size, rule: Rule) -> tuple[Packed, Counts]:
    shapes, demand = np.unique(np.asarray(blocks), axis=0, return_counts=True)
    return pack(shapes, Demand(demand), tile, rule, QUICK), shapes


def check_layouts(found: Packed, shapes: Counts, blocks: list[Size], tile: Size) -> None:
    """Inside the tile, without overlap, and together all blocks."""
    held: list[Size] = []
    for layout, times in found.layouts.items():
        cells = np.zeros(tile, np.int64)
        for seat in layout:
            rows, cols = shapes[seat.type].tolist()
            assert seat.row + rows <= tile[0] and seat.col + cols <= tile[1]
            cells[seat.row : seat.row + rows, seat.col : seat.col + cols] += 1
            held += [(rows, cols)] * times
        assert cells.max() == 1
    assert sorted(held) == sorted(blocks)


@st.composite
def small(draw: st.DrawFn) -> tuple[list[Size], Size]:
    """Up to seven blocks of a few shapes, and a tile that holds each of them."""
    tile = (draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    size = st.tuples(st.integers(1, tile[0]), st.integers(1, tile[1]))
    shapes = draw(st.lists(size, min_size=1, max_size=4))
    return draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=7)), tile


@settings(max_examples=examples(80))
@given(small())
def test_any_layout_against_brute_force(case: tuple[list[Size], Size]) -> None:
    blocks, tile = case
    found, shapes = packed(blocks, tile, "serial")
    optimum = fewest_tiles(blocks, lambda each: fits_without_overlap(each, tile))
    assert all(bound <= optimum for bound in found.bounds.values())
    assert found.tiles == max(found.bounds.values()) == optimum
    check_layouts(found, shapes, blocks, tile)


@settings(max_examples=examples(60))
@given(small())
def test_without_a_shared_line_against_brute_force(case: tuple[list[Size], Size]) -> None:
    blocks, tile = case
    found, shapes = packed(blocks, tile, "parallel")
    optimum = fewest_tiles(
        blocks, lambda each: all(sum(b[k] for b in each) <= tile[k] for k in (0, 1))
    )
    assert found.tiles == max(found.bounds.values()) == optimum
    check_layouts(found, shapes, blocks, tile)


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("xyz")), min_size=1, max_size=6))
def test_neighbours_with_the_same_input_against_brute_force(
    columns: list[tuple[int, str]],
) -> None:
    """Rows are used once by all blocks of a tile that read the same of them."""
    rows = {"x": 2, "y": 3, "z": 4}
    matrices = [
        Matrix(f"m{i}", rows[read], cols, read, module=f"m{i}")
        for i, (cols, read) in enumerate(columns)
    ]
    target = load_target("ideal-512", {"crossbar.rows": 6, "crossbar.columns": 7})
    mapped = compiled(program_of(matrices), target, {**AS_KNOWN, "allocate.rule": "parallel"})

    def fits(each: tuple[tuple[int, str], ...]) -> bool:
        height = sum(rows[read] for read in {read for _, read in each})
        return height <= 6 and sum(cols for cols, _ in each) <= 7

    proof = mapped.allocation
    assert proof is not None
    assert proof.tiles == proof.lower_bound == fewest_tiles(columns, fits)
    assert cells_held(mapped, (6, 7)).max() == 1


@pytest.mark.parametrize(
    ("columns", "tiles", "bounds"),
    [
        ([2] * 8, 3, {"area": 2, "columns": 3}),  # side by side 6, 6 and 4 wide
        ([1] * 3 + [2] * 3 + [4] * 3, 3, {"area": 2, "columns": 3}),
        ([3, 3, 3, 2, 2, 2, 2, 2, 2], 4, {"area": 2, "columns": 3}),  # fits into 3 tiles
    ],
)
def test_a_family_too_large_to_list(columns: list[int], tiles: int, bounds: dict[str, int]) -> None:
    """First fit, and a bound that holds for every way."""
    matrices = [Matrix(f"m{i}", 4, cols, "x", module=f"m{i}") for i, cols in enumerate(columns)]
    target = load_target("ideal-512", {"crossbar.rows": 6, "crossbar.columns": 7})
    settings = {**AS_KNOWN, "allocate.rule": "parallel"}
    proof = compiled(program_of(matrices), target, settings).allocation
    assert proof is not None
    assert (proof.tiles, proof.bounds) == (tiles, bounds)
    assert proof.status == ("OPTIMAL" if tiles == 3 else "FEASIBLE")


@pytest.mark.parametrize("times", [1, 3, 50])
def test_layouts_that_no_guillotine_cuts(times: int) -> None:
    """A pinwheel: four blocks around a fifth fill the tile, and no cut goes straight through."""
    blocks = ([(2, 3), (2, 3), (3, 2), (3, 2), (1, 1)]) * times
    found, shapes = packed(blocks, (5, 5), "serial")
    assert found.tiles == times
    check_layouts(found, shapes, blocks, (5, 5))


def test_the_effort_does_not_grow_with_the_number_of_blocks() -> None:
    """A thousand times as many blocks have these patterns too."""
    shapes = np.asarray([[64, 64], [64, 192], [64, 512], [512, 64], [512, 192]])
    few, many = (
        pack(shapes, Demand(np.asarray([60, 60, 336, 150, 60]) * n), (512, 512), "serial", QUICK)
        for n in (1, 1000)
    )
    assert (few.tiles, many.tiles) == (87, 87_000)
    assert many.patterns < 100


def test_a_choice_takes_each_way_as_often_as_it_pays() -> None:
    """Ten things, each one block of 6 x 4 or two of 3 x 4. On a tile of 9 x 8 a large block leaves
    room for a small one, but not for another large one: so some are cut, and not all.
    """
    shapes = np.asarray([[3, 4], [6, 4]])
    choice = Choice(10, np.asarray([[0, 1], [2, 0]]))
    found = pack(shapes, Demand(np.zeros(2, np.int64), (choice,)), (9, 8), "parallel", QUICK)
    whole, cut = found.taken[0].tolist()
    assert whole + cut == 10 and cut in (3, 4)
    assert found.tiles == max(found.bounds.values()) == 7
    check_layouts(found, shapes, [(6, 4)] * whole + [(3, 4)] * (2 * cut), (9, 8))


# Bounds.


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[list[Size], Size]:
    """Blocks that one tile holds: it is cut straight through again and again."""
    tile = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    blocks = [tile]
    for _ in range(draw(st.integers(0, 8))):
        rows, cols = blocks.pop(draw(st.integers(0, len(blocks) - 1)))
        if draw(st.booleans()) and rows > 1:
            at = draw(st.integers(1, rows - 1))
            blocks += [(at, cols), (rows - at, cols)]
        elif cols > 1:
            at = draw(st.integers(1, cols - 1))
            blocks += [(rows, at), (rows, cols - at)]
        else:
            blocks.append((rows, cols))
    return blocks, tile


@settings(max_examples=examples(100))
@given(cut_up())
def test_blocks_of_one_tile_weigh_no_more_than_a_tile(case: tuple[list[Size], Size]) -> None:
    blocks, tile = case
    shapes, demand = np.unique(np.asarray(blocks), axis=0, return_counts=True)
    assert best(dual_feasible(shapes, tile), Demand(demand)) == 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_sizes_that_fit_into_a_line_weigh_no_more_than_it(sizes: list[int]) -> None:
    length = sum(sizes)
    shapes = np.asarray([[size, 1] for size in sorted(set(sizes))])
    demand = Demand(np.asarray([sizes.count(size) for size, _ in shapes.tolist()]))
    assert best(dual_feasible_lines(shapes, (length, 10**6)), demand) == 1


def test_dual_feasible_functions_see_what_the_area_does_not() -> None:
    """Blocks of a little more than half a tile in both directions: one a tile."""
    shapes, demand = np.asarray([[257, 257]]), Demand(np.asarray([100]))
    assert best(dual_feasible(shapes, (512, 512)), demand) == 100


# Layouts of one tile.


def value_of(layout: Layout, values: list[int]) -> int:
    return sum(values[seat.type] for seat in layout)


@settings(max_examples=examples(40))
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7)), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_the_most_valuable_guillotine_layout(sizes: list[Size], data: st.DataObject) -> None:
    """Dynamic programming, and counting cuts with as many blocks as fit, are worth the same."""
    tile = (9, 7)
    shapes = np.asarray(sorted(sizes))
    values = [data.draw(st.integers(1, 20)) for _ in sizes]
    most = tile[0] * tile[1] // shapes.prod(axis=1)
    raster = Raster.of(shapes, most, tile)
    layout, value = most_valuable(raster, shapes, values)
    [counted] = Plates(raster, shapes).fill(most, values, 3.0).layouts
    assert value_of(layout, values) == value == value_of(counted, values)
    for each in (layout, counted):
        blocks = [tuple(shapes[seat.type].tolist()) for seat in each]
        check_layouts(Packed({each: 1}, (), {}, 0), shapes, blocks, tile)


def test_the_most_valuable_of_all_layouts() -> None:
    """The pinwheel is worth 25 cells; the best guillotine layout of these blocks 24."""
    shapes, values = np.asarray([[1, 1], [2, 3], [3, 2]]), [1, 6, 6]
    most = np.asarray([1, 2, 2])
    everything = AnyLayout(shapes, most, (5, 5), dual_feasible(shapes, (5, 5)))
    found = everything.most_valuable(values, 5.0, 0)
    assert value_of(found.layout, values) == found.bound == 25
    assert counts_of(found.layout, 3).tolist() == [1, 2, 2]
    assert everything.most_valuable(values, 5.0, 25).layout == ()


# Turns.


def fewest_turns(boxes: list[tuple[int, int, int, int]]) -> int:
    """By trying every colouring."""

    def conflict(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return any(a[k] < b[k] + b[k + 2] and b[k] < a[k] + a[k + 2] for k in (0, 1))

    pairs = [p for p in combinations(range(len(boxes)), 2) if conflict(*(boxes[i] for i in p))]

    def colourable(colours: int, chosen: tuple[int, ...] = ()) -> bool:
        if any(chosen[i] == chosen[j] for i, j in pairs if max(i, j) == len(chosen) - 1):
            return False
        if len(chosen) == len(boxes):
            return True
        return any(colourable(colours, (*chosen, c)) for c in range(colours))

    return next(n for n in range(len(boxes) + 1) if colourable(n))


@settings(max_examples=examples(100))
@given(cut_up())
def test_turns_against_every_colouring(case: tuple[list[Size], Size]) -> None:
    blocks, tile = case
    found, shapes = packed(blocks[:7], tile, "serial")
    for layout in found.layouts:
        boxes = [(s.row, s.col, *shapes[s.type].tolist()) for s in layout]
        assert turns_of(layout, shapes) == fewest_turns(boxes)


def test_turns_of_layouts() -> None:
    shapes = np.asarray([[1, 4], [4, 1], [2, 2]])
    rows = tuple(Seat(0, row, 0) for row in range(4))
    assert turns_of(rows, shapes) == 4  # all on the same columns
    diagonal = (Seat(2, 0, 0), Seat(2, 2, 2))
    assert turns_of(diagonal, shapes) == 1
    square = (*diagonal, Seat(2, 0, 2), Seat(2, 2, 0))
    assert turns_of(square, shapes) == 2  # either diagonal at once


def test_what_turns_a_layout_takes_is_recorded() -> None:
    """Four blocks to a tile of 4 x 4, which take turns in two diagonals."""
    matrices = [Matrix(f"m{i}", 2, 2, f"x{i}", module=f"m{i}") for i in range(9)]
    target = load_target("ideal-512", {"crossbar.rows": 4, "crossbar.columns": 4})
    mapped = compiled(program_of(matrices), target, {"allocate.rule": "serial"})
    proof = mapped.allocation
    assert proof is not None
    assert (proof.tiles, proof.status, proof.turns) == (3, "OPTIMAL", 2)
    assert proof.mean_turns == pytest.approx(5 / 3)  # the last tile holds one block
    assert list(problems(mapped, target)) == []


def test_fewer_turns_break_ties_between_layouts() -> None:
    """Two blocks of a tile fit side by side or on the diagonal, where they do not wait."""
    found, shapes = packed([(2, 2)] * 6, (4, 4), "serial")
    assert found.tiles == 2
    assert sorted(turns_of(layout, shapes) for layout in found.layouts) == [1, 2]


def test_blocks_that_are_wanted_at_once_are_on_different_tiles() -> None:
    """Four matrices of two blocks each, and two blocks to a tile: of different matrices."""
    matrices = [Matrix(f"m{i}", 5, 10, f"x{i}", module=f"m{i}") for i in range(4)]
    target = load_target("ideal-512", {"crossbar.rows": 10, "crossbar.columns": 5})
    settings = {"allocate.rule": "serial", "split.style": "full"}
    mapped = compiled(program_of(matrices), target, settings)
    owner = mapped.blocks["group"][mapped.allocations["block"]]
    tiles = [owner[mapped.allocations["tile"] == tile].tolist() for tile in range(4)]
    assert tiles == [[0, 1], [0, 1], [2, 3], [2, 3]]
