"""The layout against a slow, obvious construction from the tables, cell by cell."""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import kept
import numpy as np
import pytest
from hypothesis import given, settings
from profiles import examples
from strategies import SETTINGS, programs, targets

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.fit import Rule
from afmc.hardware.defect_map import Crossbar
from afmc.program.layout import Layout, layout_of
from afmc.program.program import BLOCK, PLACEMENT, Program, Table
from afmc.targets import Target

Cell = tuple[int, ...]


def cells_of(program: Program) -> Iterator[tuple[str, Cell, Cell]]:
    """Matrix, then copy, replica, row and column in it, then crossbar, row and column there."""
    for block, chip, tile, tier, at_row, at_col in program.placements.tolist():
        number, copy, replica, row, col, rows, cols = program.blocks[block].tolist()
        columns = [
            (name, column)
            for name in program.groups[number].members
            for column in range(program.by_name[name].cols)
        ]
        for down in range(rows):
            for right in range(cols):
                name, column = columns[col + right]
                place = (chip, tile, tier, at_row + down, at_col + right)
                yield name, (copy, replica, row + down, column), place


def cells_in(parts: Table) -> list[tuple[Cell, Cell]]:
    found = []
    for part in parts:
        for down in range(part["rows"]):
            for right in range(part["cols"]):
                cell = (part["copy"], part["replica"], part["row"] + down, part["col"] + right)
                place = [part[key] for key in ("chip", "tile", "tier")]
                at = (part["at_row"] + down, part["at_col"] + right)
                found.append((tuple(map(int, cell)), tuple(map(int, (*place, *at)))))
    return found


def check(program: Program, target: Target) -> None:
    layout = layout_of(program, target)
    by_matrix: dict[str, list[tuple[Cell, Cell]]] = defaultdict(list)
    by_crossbar: dict[Crossbar, list[tuple[str, Cell, Cell]]] = defaultdict(list)
    for name, cell, place in cells_of(program):
        by_matrix[name].append((cell, place))
        by_crossbar[place[0], place[1], place[2]].append((name, cell, place))
    for matrix in program.matrices:
        assert sorted(cells_in(layout.of(matrix.name))) == sorted(by_matrix[matrix.name])
        alone = layout.of_all([matrix.name])
        assert np.array_equal(alone, layout.of(matrix.name))
    assert np.array_equal(
        layout.parts, np.concatenate([layout.of(matrix.name) for matrix in program.matrices])
    )
    assert layout.crossbars_held == sorted(by_crossbar)
    for crossbar, cells in by_crossbar.items():
        parts = layout.on(crossbar)
        names = [program.matrices[part["matrix"]].name for part in parts]
        found = [
            (name, *cell)
            for name, part in zip(names, parts, strict=True)
            for cell in cells_in(np.array([part]))
        ]
        assert sorted(found) == sorted(cells)
    check_groups(program, layout)
    check_pieces(program, layout)
    assert layout.chips == max(chip for chip, _, _ in by_crossbar) + 1
    numbers = {
        (chip * target.chip.tiles + tile) * target.tile.tiers + tier
        for chip, tile, tier in by_crossbar
    }
    assert set(layout.crossbars.tolist()) == numbers


def check_groups(program: Program, layout: Layout) -> None:
    groups, first = {}, {}
    for number, group in enumerate(program.groups):
        column = 0
        for name in group.members:
            groups[name], first[name] = number, column
            column += program.by_name[name].cols
    assert layout.group_of == groups
    assert layout.first_column == first


def check_pieces(program: Program, layout: Layout) -> None:
    """Each owner has its own blocks in their order, where the table of placements has them."""
    owned = defaultdict(list)
    for block, chip, tile, tier, at_row, at_col in sorted(program.placements.tolist()):
        *owner, row, col, rows, cols = program.blocks[block].tolist()
        piece = (*owner, block, row, col, rows, cols, chip, tile, tier, at_row, at_col)
        owned[tuple(owner)].append(piece)
    assert layout.owners == sorted(owned)
    for owner, pieces in owned.items():
        assert layout.pieces(owner).tolist() == pieces


@given(program=programs(), target=targets(), options=SETTINGS)
@settings(max_examples=examples(20))
def test_any_program(program: Program, target: Target, options: dict[str, Any]) -> None:
    check(run_passes(program, target, configure(load_passes(), options)), target)


@pytest.mark.parametrize("rule", ["exclusive", "parallel", "serial"])
def test_banks_replicas_tiers_and_a_digital_matrix(rule: Rule) -> None:
    check(kept.program(rule), kept.target(rule))


def test_in_any_order_of_placements() -> None:
    """Nothing relies on placements in the order of blocks."""
    program = kept.program("serial")
    shuffled = program.placements[np.random.default_rng(0).permutation(len(program.placements))]
    other = layout_of(_with(program, shuffled), kept.target("serial"))
    check(_with(program, shuffled), kept.target("serial"))
    assert np.array_equal(other.parts, layout_of(program, kept.target("serial")).parts)


def test_a_program_that_holds_nothing() -> None:
    program = _with(kept.program("serial"), kept.program("serial").placements[:0])
    layout = layout_of(program, kept.target("serial"))
    assert (layout.chips, layout.crossbars_held, layout.owners) == (0, [], [])
    assert not len(layout.parts) and not len(layout.on((0, 0, 0)))


def test_it_is_built_once_and_goes_with_its_program() -> None:
    program, target = kept.program("serial"), kept.target("serial")
    layout = layout_of(program, target)
    assert layout_of(program, target) is layout
    assert layout_of(program, target.without_noise()) is layout
    assert layout_of(kept.program("serial"), target) is not layout
    gone = weakref.ref(layout)
    del program, layout
    gc.collect()
    assert gone() is None


def test_nobody_can_change_it() -> None:
    layout = layout_of(kept.program("serial"), kept.target("serial"))
    for table in (layout.parts, layout.of("q.weight"), layout.pieces((0, 0, 0))):
        with pytest.raises(ValueError, match="read-only"):
            table["row"][0] = 1


def _with(program: Program, placements: Table) -> Program:
    return replace(program, placements=placements)


def test_a_block_that_holds_columns_of_several_matrices() -> None:
    """Ten of the columns of q and k, which are eight and four, in a block that is not at 0."""
    program, target = kept.program("serial"), kept.target("serial")
    blocks = np.array([(0, 0, 0, 0, 0, 16, 2), (0, 0, 0, 0, 2, 16, 10)], BLOCK)
    placements = np.array([(0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 1)], PLACEMENT)
    mapped = replace(program, blocks=blocks, placements=placements)
    check(mapped, target)
    columns = layout_of(mapped, target).of("k.weight")[["block", "col", "cols", "at_col"]]
    assert columns.tolist() == [(1, 0, 4, 7)]
