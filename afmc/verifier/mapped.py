"""A mapping as it is on disk, and what follows from it without judging it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afmc.targets import Target
from afmc.verifier.disk import Group, Program, Table
from afmc.verifier.intervals import Numbers, Rectangles, broken_chains, key_of, numbered


@dataclass(frozen=True, eq=False)
class Mapped:
    directory: Path
    program: Program
    own: Target
    """The hardware that the mapping was made for."""
    target: Target
    """The hardware that it is held against: the same, or another one that the user gave."""
    blocks: Table
    allocations: Table
    placements: Table
    orders: Table
    defects: Table
    lines: Numbers
    """Lines of the orders, one after the other."""
    routing: Mapping[str, NDArray[np.generic]]
    """Experts of a sample of tokens, by the module of a bank; empty without a routing."""

    @cached_property
    def areas(self) -> Numbers:
        """Weights of each block."""
        return self.blocks["rows"] * self.blocks["cols"]

    # where blocks are; each must have one place

    @cached_property
    def placed(self) -> Table:
        """Placements in the order of blocks."""
        return _by_block(self.placements)

    @cached_property
    def allocated(self) -> Table:
        """Allocations in the order of blocks."""
        return _by_block(self.allocations)

    @cached_property
    def crossbars(self) -> tuple[Numbers, Numbers]:
        """The number of each block's crossbar, and the first block on each crossbar."""
        return numbered(*(self.placed[key] for key in ("chip", "tile", "tier")))

    @cached_property
    def tiles(self) -> tuple[Numbers, Numbers]:
        """Blocks by tile of the allocation."""
        return numbered(self.allocated["tile"])

    @cached_property
    def on_crossbars(self) -> Rectangles:
        sizes = (self.blocks["rows"], self.blocks["cols"])
        return Rectangles(self.crossbars[0], self.placed["row"], self.placed["col"], *sizes)

    # what blocks hold

    @cached_property
    def holders(self) -> Holders:
        return Holders.of(self.program.groups)

    @cached_property
    def holder(self) -> Numbers:
        """The holder of each block, -1 where there is no such group, copy or replica."""
        return self.holders.of_blocks(self.blocks)

    @cached_property
    def not_in_strips(self) -> Numbers:
        """Holders that are not cut into full-width strips of rows and these into columns."""
        holders = self.holders
        return broken_chains(
            self.in_holders,
            holders.of_each([group.rows for group in holders.groups]),
            holders.of_each([group.cols for group in holders.groups]),
        )

    @cached_property
    def inputs(self) -> Numbers:
        """A number for what drives the rows of each block: an activation, as much of it as goes to
        that expert or replica, in one range, and which rows of it. What is of no group reads an
        input of its own."""
        numbers: dict[tuple[object, ...], int] = {}
        read = ((g, self.program.by_name.get(g.members[0])) for g in self.program.groups)
        keys = [
            (g.members,) if m is None else (m.input, *m.ranges, m.copies, m.per_token)
            for g, m in read
        ]
        of_group = np.asarray([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        group = self.blocks["group"]
        known = (group >= 0) & (group < len(of_group))
        number = np.where(known, 0, len(of_group) + group - group.min(initial=0))
        number[known] = of_group[group[known]]
        lines = (self.blocks[key] for key in ("copy", "replica", "row", "rows"))
        return key_of(number, *lines)

    @property
    def in_holders(self) -> Rectangles:
        return Rectangles(
            self.holder, *(self.blocks[key] for key in ("row", "col", "rows", "cols"))
        )

    # names of places

    def crossbar(self, block: int) -> str:
        """``chip 0, tile 5``, with the tier where tiles have several."""
        chip, tile, tier = (int(self.placed[key][block]) for key in ("chip", "tile", "tier"))
        shown = tier or self.target.tile.tiers > 1
        return f"chip {chip}, tile {tile}" + (f", tier {tier}" if shown else "")

    def block(self, number: int) -> str:
        """``block 3 (rows 0 to 511, columns 512 to 575 of NAME)``."""
        one = {key: int(column[number]) for key, column in self.blocks.items()}
        group, groups = one["group"], self.program.groups
        known = 0 <= group < len(groups)
        name = named(groups[group], one["copy"], one["replica"]) if known else f"group {group}"
        rows = f"rows {one['row']} to {one['row'] + one['rows'] - 1}"
        cols = f"columns {one['col']} to {one['col'] + one['cols'] - 1}"
        return f"block {number} ({rows}, {cols} of {name})"


@dataclass(frozen=True)
class Holders:
    """Replicas of copies of groups, in that order: each must be held whole by blocks."""

    groups: tuple[Group, ...]
    copies: Numbers
    """Copies of each group."""
    first_copy: Numbers
    """First copy of each group, counted through all groups."""
    replicas: Numbers
    """Replicas of each copy of each group."""
    first: Numbers
    """The first holder of each copy of each group."""

    @classmethod
    def of(cls, groups: tuple[Group, ...]) -> Holders:
        copies = np.asarray([group.copies for group in groups], np.int64)
        times = [np.asarray(group.replicas or [1] * group.copies, np.int64) for group in groups]
        replicas = np.concatenate([np.zeros(0, np.int64), *times])
        starts = (np.cumsum(copies) - copies, np.cumsum(replicas) - replicas)
        return cls(groups, copies, starts[0], replicas, starts[1])

    def __len__(self) -> int:
        return int(self.replicas.sum())

    def of_blocks(self, blocks: Table) -> Numbers:
        """The holder of each block, -1 where there is none."""
        group, copy, replica = (blocks[key] for key in ("group", "copy", "replica"))
        holder = np.full(len(group), -1, np.int64)
        at = np.flatnonzero((group >= 0) & (group < len(self.groups)))
        at = at[(copy[at] >= 0) & (copy[at] < self.copies[group[at]])]
        through = self.first_copy[group[at]] + copy[at]
        real = (replica[at] >= 0) & (replica[at] < self.replicas[through])
        holder[at[real]] = (self.first[through] + replica[at])[real]
        return holder

    def of_each(self, of_groups: list[int]) -> Numbers:
        """A figure of the groups, for each holder."""
        by_copy = np.repeat(np.asarray(of_groups, np.int64), self.copies)
        return np.repeat(by_copy, self.replicas)

    def group(self, holder: int) -> Group:
        return self.groups[self._place(holder)[0]]

    def name(self, holder: int) -> str:
        group, copy, replica = self._place(holder)
        return named(self.groups[group], copy, replica)

    def _place(self, holder: int) -> tuple[int, int, int]:
        copy = int(np.searchsorted(self.first, holder, side="right")) - 1
        group = int(np.searchsorted(self.first_copy, copy, side="right")) - 1
        return group, copy - int(self.first_copy[group]), holder - int(self.first[copy])


def named(group: Group, copy: int, replica: int) -> str:
    """The group, with the copy and the replica where it has several."""
    name = group.name
    if group.copies > 1 or copy:
        name += f", copy {copy}"
    if any(times > 1 for times in group.replicas) or replica:
        name += f", replica {replica}"
    return name


def _by_block(table: Table) -> Table:
    block = table["block"]
    if np.array_equal(block, np.arange(len(block))):
        return table
    order = np.argsort(block, kind="stable")
    return {name: column[order] for name, column in table.items()}
