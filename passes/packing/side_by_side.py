"""What a seat of a layout holds: one block, or several that read the same rows of the same input.

Under the rule ``parallel`` blocks may share rows where they read the same inputs by the same row
drivers. Such blocks side by side are one unit, as wide as all of them. Equal families of blocks
that could be side by side (one a layer, say) are one choice between all ways to group them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from afmc.passes.packing.demand import Choice, Counts, Demand
from afmc.program.program import Program, Table

_LARGEST_FAMILY = 6  # blocks, of which all ways to group them are listed: up to 203

Grouping = tuple[tuple[int, ...], ...]
"""Members of a family by position, in groups."""


@dataclass(frozen=True, eq=False)
class Families:
    """Families that are made up alike."""

    members: Counts
    """[families, members], numbers of blocks."""
    groupings: tuple[Grouping, ...]
    """The first leaves all apart."""


@dataclass(frozen=True, eq=False)
class Units:
    kind: Counts
    """[units], the type of each."""
    of_block: Counts
    """[blocks], the unit that each belongs to; units are in the order of their first block."""
    col: Counts
    """[blocks], the column of each within its unit."""


@dataclass(frozen=True, eq=False)
class Types:
    """Shapes of units, and which units there may be."""

    blocks: Table
    families: tuple[Families, ...] = ()
    complete: bool = True
    """Whether all ways to put blocks side by side are there to choose from."""

    @classmethod
    def by_input(cls, program: Program, columns: int) -> Types:
        """Blocks that read the same rows of the same input may be side by side."""
        families, complete = [], True
        for members in _alike(program, columns):
            complete &= members.shape[1] <= _LARGEST_FAMILY
            ways = tuple(groupings(program.blocks["cols"][members[0]].tolist(), columns))
            if len(ways) > 1:
                families.append(Families(members, ways))
        return cls(program.blocks, tuple(families), complete)

    @cached_property
    def shapes(self) -> Counts:
        """[types, 2], rows then columns."""
        single = np.stack(np.divmod(np.flatnonzero(np.bincount(self._keys)), self._base), axis=1)
        return np.unique(np.concatenate([single, *map(self._wide, self.families)]), axis=0)

    @cached_property
    def demand(self) -> Demand:
        single = np.ones(len(self.blocks), np.bool_)
        for families in self.families:
            single[families.members] = False
        choices = tuple(
            Choice(len(each.members), np.stack([self._count(w) for w in self._ways(each)]))
            for each in self.families
        )
        fixed = np.bincount(self._kind(self._keys[single]), minlength=len(self.shapes))
        return Demand(fixed, choices)

    def units(self, taken: Sequence[Counts]) -> Units:
        """The units, once it is known how many families are grouped in each way."""
        leader = np.arange(len(self.blocks))
        col = np.zeros(len(self.blocks), np.int64)
        if not self.families:
            return Units(self._kind(self._keys), leader, col)
        for families, times in zip(self.families, taken, strict=True):
            ends = np.cumsum(times)
            for grouping, end, count in zip(
                families.groupings, ends.tolist(), times.tolist(), strict=True
            ):
                members = families.members[end - count : end]
                for group in grouping:
                    together = members[:, list(group)]
                    leader[together] = together.min(axis=1, keepdims=True)
                    width = self.blocks["cols"][together]
                    col[together] = np.cumsum(width, axis=1) - width
        leaders, of_block = np.unique(leader, return_inverse=True)
        width = np.bincount(of_block, weights=self.blocks["cols"]).astype(np.int64)
        key = self.blocks["rows"][leaders].astype(np.int64) * self._base + width
        return Units(self._kind(key), of_block, col)

    @cached_property
    def _base(self) -> int:
        """More than any unit is wide."""
        widest = int(self.blocks["cols"].max(initial=0))
        return 1 + max([widest, *(int(self._wide(each)[:, 1].max()) for each in self.families)])

    @cached_property
    def _keys(self) -> Counts:
        """[blocks], a number for the shape of each."""
        return self.blocks["rows"].astype(np.int64) * self._base + self.blocks["cols"]

    def _ways(self, families: Families) -> list[Counts]:
        """For each way to group a family, the shapes of its units."""
        first = self.blocks[families.members[0]]
        return [
            np.asarray([(first["rows"][0], first["cols"][list(group)].sum()) for group in grouping])
            for grouping in families.groupings
        ]

    def _wide(self, families: Families) -> Counts:
        return np.concatenate(self._ways(families)).astype(np.int64)

    def _kind(self, keys: Counts) -> Counts:
        """The types of these shapes."""
        known = self.shapes[:, 0] * self._base + self.shapes[:, 1]
        kind = np.zeros(int(known.max(initial=0)) + 1, np.int64)
        kind[known] = np.arange(len(known))
        return kind[keys]

    def _count(self, size: Counts) -> Counts:
        keys = size[:, 0].astype(np.int64) * self._base + size[:, 1]
        return np.bincount(self._kind(keys), minlength=len(self.shapes))


def inputs_of(program: Program) -> Counts:
    """[groups], a number for what each reads: activation, range, and how often."""
    read = [program.matrix(group.members[0]) for group in program.groups]
    keys = [(*m.drive, m.rows, m.copies, m.per_token) for m in read]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.asarray([number[key] for key in keys], np.int64)


def _alike(program: Program, columns: int) -> Iterator[Counts]:
    """[families, members] of blocks that read the same rows of one input and may be neighbours."""
    blocks = program.blocks
    partial = np.flatnonzero(blocks["cols"] < columns)
    mine = blocks[partial]
    owner = (inputs_of(program)[mine["group"]], mine["copy"], mine["replica"], mine["row"])
    order = np.lexsort([partial, mine["cols"], mine["rows"], *owner[::-1]])
    key = np.stack([*owner, mine["rows"]], axis=1)[order]
    family = np.cumsum((np.diff(key, axis=0, prepend=-1) != 0).any(axis=1)) - 1
    # The narrowest comes first: whoever does not fit beside it fits beside nobody.
    width = mine["cols"][order].astype(np.int64)
    starts = np.flatnonzero(np.diff(family, prepend=-1))
    beside = width[starts][family]
    beside[starts] = np.append(width, columns)[starts + 1]
    beside[starts[np.bincount(family) == 1]] = columns
    fits = width + beside <= columns
    order, family = order[fits], family[fits]
    starts = np.flatnonzero(np.diff(family, prepend=-1))
    sizes = np.diff(starts, append=len(order))
    for size in np.unique(sizes).tolist():
        of_size = order[starts[sizes == size][:, None] + np.arange(size)]
        shapes = np.stack([mine["rows"][of_size], mine["cols"][of_size]], axis=2)
        _, which = np.unique(shapes.reshape(len(of_size), -1), axis=0, return_inverse=True)
        for alike in range(int(which.max()) + 1):
            yield partial[of_size[which.ravel() == alike]]


def groupings(widths: list[int], columns: int) -> Iterator[Grouping]:
    """Ways to put blocks of these widths side by side, those with equal widths once: all that there
    are for a family that is not too large, else only all apart and the widest first, each where it
    fits first."""
    seen = set()
    every = len(widths) <= _LARGEST_FAMILY
    for grouping in _partitions(len(widths)) if every else _first_fit(widths, columns):
        groups = [sorted(widths[member] for member in group) for group in grouping]
        kind = tuple(sorted(map(tuple, groups)))
        if kind not in seen and all(sum(group) <= columns for group in groups):
            seen.add(kind)
            yield grouping


def _first_fit(widths: list[int], columns: int) -> Iterator[Grouping]:
    yield tuple((member,) for member in range(len(widths)))
    groups: list[list[int]] = []
    left: list[int] = []
    for member in sorted(range(len(widths)), key=lambda each: -widths[each]):
        at = next((i for i, space in enumerate(left) if widths[member] <= space), len(groups))
        if at == len(groups):
            groups.append([])
            left.append(columns)
        groups[at].append(member)
        left[at] -= widths[member]
    yield tuple(map(tuple, groups))


def _partitions(count: int) -> Iterator[Grouping]:
    """All ways to part 0, 1, ... into groups, all apart first."""
    if count == 0:
        yield ()
        return
    last = count - 1
    for rest in _partitions(last):
        yield (*rest, (last,))
    for rest in _partitions(last):
        for index, group in enumerate(rest):
            yield (*rest[:index], (*group, last), *rest[index + 1 :])
