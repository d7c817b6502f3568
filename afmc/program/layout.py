"""Who holds what where: the one map of a program, built once for its target.

`rules` and the verifier do not use it: they prove what is read from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from afmc.hardware.defect_map import Crossbar, DefectMap
from afmc.program.model import Matrix
from afmc.program.program import Group, Lines, Program, Table
from afmc.targets import Target

_PLACE = ("chip", "tile", "tier", "at_row", "at_col")

# The part of a matrix in one block, and where it is. `matrix` counts in Program.matrices, `row` and
# `col` in that matrix, `at_row` and `at_col` in the order of the crossbar's lines.
PART = np.dtype(
    [
        (name, "<i4")
        for name in ("matrix", "block", "copy", "replica", "row", "col", "rows", "cols", *_PLACE)
    ]
)

# A whole block, and where it is. `row` and `col` count in the matrix of the group.
PIECE = np.dtype(
    [
        (name, "<i4")
        for name in ("group", "copy", "replica", "block", "row", "col", "rows", "cols", *_PLACE)
    ]
)

Numbers = NDArray[np.int64]
Owner = tuple[int, int, int]
"""Numbers of a group, a copy and a replica, as in the table of blocks."""
Grid = tuple[int, int, int, int]
"""Tiles of a chip, tiers of a tile, rows and columns of a crossbar: what a layout depends on."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The parts of matrices on crossbars, by matrix, by crossbar and by block.

    Tables are read-only. Parts are in the order of matrices, and of blocks within a matrix.
    """

    matrices: tuple[Matrix, ...]
    groups: tuple[Group, ...]
    blocks: Table
    placements: Table
    grid: Grid
    defects: DefectMap | None
    """None where the program knows of no map."""
    orders: dict[tuple[int, int, int], tuple[Lines, Lines]]
    """Physical rows and columns of the crossbars that are not filled in ascending order."""

    # Matrices in their groups

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each matrix in `matrices`, by name."""
        return {matrix.name: number for number, matrix in enumerate(self.matrices)}

    @cached_property
    def group_of(self) -> dict[str, int]:
        """The number of the group of each analog matrix, by name."""
        return {name: number for number, group in enumerate(self.groups) for name in group.members}

    @cached_property
    def first_column(self) -> dict[str, int]:
        """Where the columns of each analog matrix begin in those of its group, by name."""
        names = [name for group in self.groups for name in group.members]
        first = self._starts - self._group_start[[self.group_of[name] for name in names]]
        return dict(zip(names, first.tolist(), strict=True))

    @cached_property
    def _member(self) -> Numbers:
        """The numbers of the analog matrices, group after group."""
        each = [self.number[name] for group in self.groups for name in group.members]
        return np.asarray(each, np.int64)

    @cached_property
    def _widths(self) -> Numbers:
        cols = np.asarray([matrix.cols for matrix in self.matrices], np.int64)
        return cols[self._member]

    @cached_property
    def _starts(self) -> Numbers:
        """First column of each member, where the columns of all groups are counted through."""
        return np.asarray(np.cumsum(self._widths) - self._widths)

    @cached_property
    def _group_start(self) -> Numbers:
        sizes = np.asarray([len(group.members) for group in self.groups], np.int64)
        return self._starts[np.cumsum(sizes) - sizes]

    # Crossbars

    @cached_property
    def crossbars(self) -> Numbers:
        """The crossbar of each placement, counted through."""
        return self.crossbar_of(self.placements)

    @cached_property
    def crossbars_held(self) -> list[Crossbar]:
        """Crossbars that hold something, in order; a tier of a stacked tile is one."""
        tiles, tiers, _, _ = self.grid
        tile, tier = np.divmod(sorted_set(self.crossbars), tiers)
        chip, tile = np.divmod(tile, tiles)
        return list(zip(chip.tolist(), tile.tolist(), tier.tolist(), strict=True))

    @cached_property
    def chips(self) -> int:
        """As `chips_used` counts them."""
        return chips_used(self.placements)

    def crossbar_of(self, places: Table) -> Numbers:
        """The crossbar of each place, counted through."""
        tiles, tiers, _, _ = self.grid
        tile = places["chip"].astype(np.int64) * tiles + places["tile"]
        return np.asarray(tile * tiers + places["tier"])

    def address(self, part: Any) -> str:
        """``chip/tile``, and the tier of stacked tiles, as ``--tile`` takes it."""
        tier = f"/{part['tier']}" if self.grid[1] > 1 else ""
        return f"{part['chip']}/{part['tile']}{tier}"

    def lines(self, crossbar: Crossbar) -> tuple[Lines, Lines] | None:
        """The physical rows and columns of a crossbar, in the order in which it is filled; None
        for all of them as they are."""
        if self.defects is None:
            return None
        if crossbar not in self._lines:
            self._lines[crossbar] = self.orders.get(crossbar) or self.defects.live_lines(crossbar)
        return self._lines[crossbar]

    @cached_property
    def _lines(self) -> dict[Crossbar, tuple[Lines, Lines]]:
        return {}

    # Parts of matrices

    @cached_property
    def parts(self) -> Table:
        """The part of every analog matrix in every block."""
        return self._parts_in(self.placements)

    def of(self, matrix: str) -> Table:
        """The parts of a matrix, in the order of blocks; none of a digital one."""
        return self.parts[self.where(matrix)]

    def where(self, matrix: str) -> slice:
        """The parts of a matrix within `parts`."""
        first, last = self._first_part[self.number[matrix] + np.arange(2)].tolist()
        return slice(first, last)

    def of_all(self, matrices: Collection[str]) -> Table:
        """The parts of these matrices, matrix after matrix, without cutting any other."""
        group = np.zeros(len(self.groups), np.bool_)
        group[[self.group_of[name] for name in matrices if name in self.group_of]] = True
        chosen = np.zeros(len(self.matrices), np.bool_)
        chosen[[self.number[name] for name in matrices]] = True
        of_place = self.blocks["group"][self.placements["block"]]
        parts = self._parts_in(self.placements[group[of_place]])
        return _frozen(parts[chosen[parts["matrix"]]])

    def on(self, crossbar: Crossbar) -> Table:
        """The parts on a crossbar, in the order of placements."""
        tiles, tiers, _, _ = self.grid
        chip, tile, tier = crossbar
        number = (chip * tiles + tile) * tiers + tier
        first, last = np.searchsorted(self._crossbars_in_order, (number, number + 1))
        return self.parts_at(self._by_crossbar[first:last])

    def parts_at(self, placements: Numbers) -> Table:
        """The parts in these placements, by number, placement after placement."""
        return _frozen(self._cut(self.placements[placements]))

    @cached_property
    def _by_crossbar(self) -> Numbers:
        return np.argsort(self.crossbars, kind="stable")

    @cached_property
    def _crossbars_in_order(self) -> Numbers:
        return self.crossbars[self._by_crossbar]

    @cached_property
    def _first_part(self) -> Numbers:
        matrix = self.parts["matrix"].copy()  # a search of a column would copy it every time
        return np.searchsorted(matrix, np.arange(len(self.matrices) + 1))

    def _parts_in(self, places: Table) -> Table:
        parts = self._cut(places)
        key = parts["matrix"].astype(np.int64) * len(self.blocks) + parts["block"]
        return _frozen(parts[np.argsort(key, kind="stable")])

    def _cut(self, places: Table) -> Table:
        """The parts of all matrices in these places, place after place.

        The columns of all groups are counted through; a block has a part of every matrix that
        begins before its last column and ends after its first.
        """
        blocks = self.blocks[places["block"]]
        begin = self._group_start[blocks["group"]] + blocks["col"]
        end = begin + blocks["cols"]
        first = np.searchsorted(self._starts, begin, "right") - 1
        times = np.searchsorted(self._starts, end - 1, "right") - first
        place = np.repeat(np.arange(len(places)), times)
        step = np.arange(len(place)) - np.repeat(np.cumsum(times) - times, times)
        member = first[place] + step
        start = np.maximum(begin[place], self._starts[member])
        stop = np.minimum(end[place], self._starts[member] + self._widths[member])
        parts = np.zeros(len(place), PART)
        parts["matrix"] = self._member[member]
        parts["col"] = start - self._starts[member]
        parts["cols"] = stop - start
        parts["at_col"] = places["col"][place] + (start - begin[place])
        parts["at_row"] = places["row"][place]
        for key in ("copy", "replica", "row", "rows"):
            parts[key] = blocks[key][place]
        for key in ("block", "chip", "tile", "tier"):
            parts[key] = places[key][place]
        return parts

    # Whole blocks

    @cached_property
    def owners(self) -> list[Owner]:
        """Every replica of every copy of a group, in order."""
        first = self._first_piece[:-1]
        keys = (self._pieces[key][first].tolist() for key in ("group", "copy", "replica"))
        return list(zip(*keys, strict=True))

    def pieces(self, owner: Owner) -> Table:
        """The blocks of a replica of a copy of a group, and where they are, in their order."""
        first, last = self._first_piece[self._number_of_owner[owner] + np.arange(2)]
        return self._pieces[first:last]

    @cached_property
    def _number_of_owner(self) -> dict[Owner, int]:
        return {owner: number for number, owner in enumerate(self.owners)}

    @cached_property
    def _pieces(self) -> Table:
        blocks = self.blocks[self.placements["block"]]
        pieces = np.zeros(len(blocks), PIECE)
        for key in ("group", "copy", "replica", "row", "col", "rows", "cols"):
            pieces[key] = blocks[key]
        for key in ("block", "chip", "tile", "tier"):
            pieces[key] = self.placements[key]
        for key in ("row", "col"):
            pieces[f"at_{key}"] = self.placements[key]
        order = np.lexsort([pieces[key] for key in ("block", "replica", "copy", "group")])
        return _frozen(pieces[order])

    @cached_property
    def _first_piece(self) -> Numbers:
        """Where each owner's pieces begin, and where the last one's end."""
        new = np.ones(len(self._pieces) + 1, np.bool_)
        if len(self._pieces):
            new[1:-1] = np.any(
                [np.diff(self._pieces[key]) != 0 for key in ("group", "copy", "replica")], axis=0
            )
        return np.flatnonzero(new)


def _frozen(table: Table) -> Table:
    table.flags.writeable = False
    return table


_KNOWN: WeakKeyDictionary[Program, dict[Grid, Layout]] = WeakKeyDictionary()


def layout_of(program: Program, target: Target) -> Layout:
    """The layout of a program on its target, kept for as long as the program lives.

    Targets with crossbars of the same size, as many of them on a tile and as many tiles on a chip
    share one: those with and without noise, for instance.
    """
    grid = (target.chip.tiles, target.tile.tiers, target.crossbar.rows, target.crossbar.columns)
    known = _KNOWN.setdefault(program, {})
    if grid not in known:
        # Holds tables and not the program, which would then live for as long as its layout.
        known[grid] = Layout(
            matrices=program.matrices,
            groups=program.groups,
            blocks=program.blocks,
            placements=program.placements,
            grid=grid,
            defects=None if program.defects is None else DefectMap(program.defects, target),
            orders=program.order_of,
        )
    return known[grid]


def chips_used(places: Table) -> int:
    """Chips up to the last one that holds something, dead ones among them."""
    return int(places["chip"].max(initial=-1)) + 1


def sorted_set(values: NDArray[Any]) -> NDArray[Any]:
    """Values without repetition, in order. As np.unique, which is slow for millions."""
    values = np.sort(values)
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return values[new]
