"""Blocks go past what is dead, and onto what is left of a crossbar only where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from programs import compiled, program_of

from afmc.compiler.levers import fit_or_explain
from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.errors import CapacityError
from afmc.hardware.crossbars import SLOT, slots
from afmc.hardware.defects import ALL, DEAD, DEFECT, Defects, gather_defects
from afmc.passes.placing.around_defects import assign, move
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.program.rules import problems
from afmc.targets import load_target

FOUR = load_target("ideal-512", {"chip.tiles": 4})
STACKED = load_target("ideal-512", {"chip.tiles": 2, "tile.tiers": 2})


def dead(*where: tuple[int, ...]) -> Defects:
    """Entries (chip, tile, tier, row, column)."""
    return Defects(np.array([(*each, ALL, ALL, DEAD) for each in where], DEFECT), name="map.csv")


def squares(*sizes: int) -> Program:
    matrices = [Matrix(f"m{i}", n, n, f"x{i}", module=f"m{i}") for i, n in enumerate(sizes)]
    return program_of(matrices)


IN_ORDER: dict[str, object] = {"place.strategy": "in_order"}


def places(program: Program) -> list[tuple[int, ...]]:
    placed = np.sort(program.placements, order="block")
    return placed[["chip", "tile", "tier"]].tolist()


def test_dead_chips_tiles_and_tiers_are_passed_by() -> None:
    broken = dead((0, 1, ALL, ALL, ALL), (1, ALL, ALL, ALL, ALL))
    program = compiled(replace(squares(*[512] * 5), defects=broken), FOUR, IN_ORDER)
    assert places(program) == [(0, 0, 0), (0, 2, 0), (0, 3, 0), (2, 0, 0), (2, 1, 0)]
    assert list(problems(program, FOUR)) == []
    broken = dead((0, 1, 0, ALL, ALL), (0, 0, 1, ALL, ALL))
    program = compiled(replace(squares(*[512] * 3), defects=broken), STACKED, IN_ORDER)
    assert places(program) == [(0, 0, 0), (0, 1, 1), (1, 0, 0)]


def test_a_map_of_nothing_here_changes_nothing() -> None:
    start = squares(512, 300, 512, 100, 90)
    whole = compiled(start, FOUR)
    other = compiled(replace(start, defects=dead((9, ALL, ALL, ALL, ALL))), FOUR)
    assert other.placements.tobytes() == whole.placements.tobytes()


def test_a_crossbar_with_a_dead_line_gets_the_next_tile_that_fits() -> None:
    broken = dead((0, 0, 0, 17, ALL), (0, 2, 0, ALL, 3))
    program = compiled(replace(squares(512, 512, 511, 512, 100), defects=broken), FOUR)
    assert places(program) == [(0, 1, 0), (0, 3, 0), (0, 0, 0), (1, 0, 0), (0, 2, 0)]
    assert list(problems(program, FOUR)) == []


def test_no_more_chips_than_it_takes() -> None:
    """Taken in order, the small one would get the whole crossbar that the large one needs."""
    broken = dead((0, 1, 0, 0, ALL), (0, 2, 0, 0, ALL), (0, 3, ALL, ALL, ALL))
    program = compiled(replace(squares(10, 20, 512), defects=broken), FOUR)
    assert places(program)[2] == (0, 0, 0) and {chip for chip, *_ in places(program)} == {0}


def sizes(limit: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=limit)


@given(sizes(9), sizes(12))
@settings(max_examples=examples(150))
def test_as_many_tiles_are_assigned_as_can_be(
    needs: Sequence[tuple[int, int]], have: Sequence[tuple[int, int]]
) -> None:
    table = np.zeros(len(have), SLOT)
    table["rows"], table["cols"] = np.array(have).T
    chosen = assign(np.array(needs), table)
    used = chosen[chosen >= 0]
    assert len(np.unique(used)) == len(used)
    for (rows, cols), slot in zip(needs, chosen.tolist(), strict=True):
        assert slot < 0 or (have[slot][0] >= rows and have[slot][1] >= cols)
    graph = nx.Graph()
    graph.add_nodes_from((("tile", i) for i in range(len(needs))), bipartite=0)
    graph.add_edges_from(
        (("tile", i), ("slot", j))
        for i, need in enumerate(needs)
        for j, room in enumerate(have)
        if need[0] <= room[0] and need[1] <= room[1]
    )
    tiles = [("tile", i) for i in range(len(needs))]
    most = len(nx.bipartite.maximum_matching(graph, tiles)) // 2
    assert len(used) == most


@given(
    st.integers(0, 2**40),
    st.sampled_from(["exclusive", "parallel"]),
    st.sampled_from([0, 0.002, 0.02]),
    st.sampled_from([0.0, 0.1, 0.4]),
)
@settings(max_examples=examples(25))
def test_random_maps_give_legal_programs(seed: int, rule: str, lines: float, share: float) -> None:
    target = load_target(
        "ideal-512",
        {"crossbar.rows": 40, "crossbar.columns": 40, "chip.tiles": 7, "tile.tiers": 2},
    )
    text = f"chips={share / 2},tiles={share},tiers={share},rows={lines},columns={lines},seed={seed}"
    defects = gather_defects([text] if lines or share else [], target)
    start = replace(squares(100, 39, 38, 20, 20, 64, 7), defects=defects)
    program = compiled(start, target, {"allocate.rule": rule})
    assert list(problems(program, target)) == []
    chips = int(program.placements["chip"].max()) + 1
    fewer = slots(target, chips - 1, defects)
    assert len(fewer) < 18 or lines or share  # what is left out is broken


def explained(program: Program, **figures: object) -> str:
    target = load_target("ideal-512", {k.replace("__", "."): v for k, v in figures.items()})
    with pytest.raises(CapacityError) as caught:
        fit_or_explain(program, target, configure(load_passes(), {}))
    return str(caught.value)


def test_capacity_counts_what_is_left() -> None:
    start = replace(squares(*[512] * 7), defects=dead((ALL, 1, ALL, ALL, ALL)))
    assert explained(start, chip__tiles=4, system__chips=2) == (
        "test needs 3 chips of ideal-512 (7 tiles, 4 a chip, of all of which map.csv leaves 6), "
        "but the system has 2: 1 missing. No layout of these weights fits: they need 1,835,008 "
        "cells (area), and the system has 1,572,864. What would fit: --digital m4 (6 tiles, 2 "
        "chips, 14.3 % of multiply-accumulates go digital); --set target.system.chips=3 (7 tiles, "
        "3 chips); --set target.tile.tiers=2 (7 tiles, 2 chips, requires that ideal-512 can "
        "stack 2 tiers); "
        "--set target.chip.tiles=5 (7 tiles, 2 chips, requires that a chip can have 5 tiles)."
    )


def test_everything_is_dead() -> None:
    start = replace(squares(512, 512), defects=dead((ALL, ALL, ALL, ALL, ALL)))
    assert explained(start, chip__tiles=4) == (
        "test needs 2 tiles of ideal-512, but map.csv breaks so much that even 16 chips, 16 times "
        "as many as without defects, are not enough."
    )
    everywhere = replace(squares(512, 512), defects=dead((ALL, ALL, ALL, 3, ALL)))
    assert explained(everywhere, chip__tiles=4, system__chips=3).startswith(
        "test needs 2 tiles of ideal-512, but map.csv breaks so much"
    )


def test_move_moves_what_is_hit_and_nothing_else() -> None:
    program = compiled(squares(512, 512, 300, 512, 512, 512), FOUR, IN_ORDER)
    hit = replace(program, defects=dead((0, 1, ALL, ALL, ALL), (0, 2, 0, 100, ALL)))
    moved = move(hit, FOUR)
    before, after = places(program), places(moved)
    # the tile of 300 rows fits on what is left of its crossbar; chip 0 has no other
    assert [i for i in range(6) if before[i] != after[i]] == [1]
    assert after[1] == (1, 2, 0)
    assert list(problems(moved, FOUR)) == []
    spare = compiled(squares(512, 512), FOUR)
    moved = move(replace(spare, defects=dead((0, 0, ALL, ALL, ALL))), FOUR)
    assert places(moved) == [(0, 2, 0), (0, 1, 0)]  # on the same chip


def test_move_goes_to_further_chips_and_says_when_there_are_none() -> None:
    program = compiled(squares(*[512] * 4), FOUR)
    hit = replace(program, defects=dead((0, ALL, ALL, ALL, ALL), (1, 0, ALL, ALL, ALL)))
    assert places(move(hit, FOUR)) == [(1, 1, 0), (1, 2, 0), (1, 3, 0), (2, 0, 0)]
    with pytest.raises(CapacityError) as caught:
        move(hit, load_target(FOUR, {"system.chips": 2}))
    assert str(caught.value) == (
        "1 of the 4 crossbars of test that are no longer fit find no other on 2 chips; compile "
        "without --keep."
    )


def test_a_pass_that_knows_nothing_of_defects_is_named() -> None:
    from afmc.errors import PassError

    def forgetful(program: Program, target: object) -> Program:
        return replace(program, defects=dead((0, 0, ALL, ALL, ALL)))

    with pytest.raises(PassError, match="after the pass 'forgetful': 1 blocks are on dead cross"):
        run_passes(squares(512), FOUR, [*load_passes(), forgetful])
