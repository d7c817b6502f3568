"""What a placement makes a token wait for, and what no placement could undercut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from afmc.passes.placing.experts import Sample, at_random, least_wait, longest_wait
from afmc.program.flow import Flow, Real, Whole
from afmc.program.program import ExpertWaits, Program, Table

_SPARSE = 8  # times as many numbers as values, up to which they are counted in an array


@dataclass(frozen=True)
class Waits:
    reads: float
    reads_bound: float
    load: float
    load_bound: float
    experts: ExpertWaits | None


def waits_of(
    program: Program,
    flow: Flow,
    seats: Seats,
    samples: Mapping[int, Sample],
    source: str,
    seed: int,
) -> Waits:
    """Stage by stage, so that memory does not grow with the number of blocks."""
    tiles = seats.tiles
    load, per_chip = np.zeros(len(tiles) * seats.width), np.zeros(len(tiles))
    least, most = np.inf, 0.0
    reads = bound = 0.0
    waits = np.zeros(4)  # placed, bound, in order, at random
    tokens = 0
    rows = _rows_of_groups(program)
    for stage in np.unique(flow.stage[[index for index, mine in enumerate(rows) if len(mine)]]):
        groups = [g for g in np.flatnonzero(flow.stage == stage).tolist() if len(rows[g])]
        banks = [each for each in groups if each in samples]
        plain = [each for each in groups if each not in samples]
        besides = _Blocks.of(program, flow, seats, rows, plain)
        held = [
            _Blocks.of(program, flow, seats, rows, same)  # gate and up apart: one routing for both
            for same in _alike(banks, samples)
        ]
        for blocks in (besides, *held):
            np.add.at(load, blocks.address, blocks.uses)
            np.add.at(per_chip, blocks.chip, blocks.uses)
            least = min(least, float(blocks.uses.min(initial=np.inf)))
            most = max(most, float(blocks.uses.max(initial=0.0)))
        if not banks:
            reads += float(_sums(besides.address, besides.uses)[1].max(initial=0.0))
            bound += _least(besides.uses, besides.chip, tiles)
        for same, mine in zip(_alike(banks, samples), held, strict=True):
            found = np.asarray(_bank(samples[same[0]], mine, besides, tiles, seed))
            waits += found
            reads, bound = reads + found[0], bound + found[1]
            tokens = len(samples[same[0]].held_out)
    experts = ExpertWaits(source, tokens, *waits.tolist()) if tokens else None
    return Waits(
        reads=_plain(float(reads)),
        reads_bound=_plain(float(bound)),
        load=_plain(float(load.max(initial=0.0))),
        load_bound=_plain(_load_bound(least, most, per_chip, tiles)),
        experts=experts,
    )


@dataclass(frozen=True, eq=False)
class Seats:
    """Where the crossbars of an allocation are in a system, and where they would be in order."""

    free: Table
    slot: Whole
    """In `free`, of each tile of the allocation."""
    in_order: Whole
    of_block: NDArray[np.int32]
    """The tile of the allocation of each block."""

    @cached_property
    def width(self) -> int:
        """Tiles of a chip, to number them through."""
        return int(self.free["tile"].max(initial=0)) + 1

    @cached_property
    def tiles(self) -> Whole:
        """How many each chip has."""
        chips = int(self.free["chip"].max(initial=-1)) + 1
        alive = np.zeros((chips, self.width), np.bool_)
        alive[self.free["chip"], self.free["tile"]] = True
        return np.asarray(alive.sum(axis=1), np.int64)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Some blocks: which expert, on which chip and tile, how often read for a token."""

    copy: Whole
    chip: Whole
    address: Whole
    """Tiles of all chips counted through."""
    other: Whole
    """The other tile of each pair, in order."""
    uses: Real
    share: Real

    @classmethod
    def of(
        cls, program: Program, flow: Flow, seats: Seats, rows: list[Whole], groups: list[int]
    ) -> _Blocks:
        mine = np.sort(np.concatenate([rows[each] for each in groups] or [np.zeros(0, np.int64)]))
        blocks, tile = program.blocks[mine], seats.of_block[mine]
        here, there = seats.slot[tile], seats.in_order[tile]
        chip = seats.free["chip"][here].astype(np.int64)
        share = flow.share(blocks["group"], blocks["copy"])
        return cls(
            copy=blocks["copy"].astype(np.int64),
            chip=chip,
            address=chip * seats.width + seats.free["tile"][here],
            other=chip * seats.width + seats.free["tile"][there],
            uses=flow.uses[blocks["group"]] * share,
            share=share,
        )


def _rows_of_groups(program: Program) -> list[Whole]:
    """The blocks of each group."""
    group = np.ascontiguousarray(program.blocks["group"])
    order = np.argsort(group, kind="stable")  # as they are, but for blocks that were moved
    ends = np.cumsum(np.bincount(group, minlength=len(program.groups)))
    return np.split(order, ends[:-1])


def _alike(banks: list[int], samples: Mapping[int, Sample]) -> list[list[int]]:
    """The banks of a stage that a token goes through by one routing."""
    alike: dict[int, list[int]] = {}
    for bank in banks:
        alike.setdefault(id(samples[bank]), []).append(bank)
    return list(alike.values())


def _bank(
    sample: Sample, mine: _Blocks, plain: _Blocks, tiles: Whole, seed: int
) -> tuple[float, float, float, float]:
    """Mean longest wait of one bank on the held-out tokens: placed, bound, in order, at random."""
    taken = sample.held_out
    chips, at = _numbered(mine.chip)
    held = np.zeros((taken.shape[1], len(chips)))
    np.add.at(held, (mine.copy, at), mine.share)
    besides = np.zeros(len(tiles))
    np.add.at(besides, plain.chip, plain.uses)
    least = least_wait(taken, held, tiles[chips], besides[chips])
    together = np.concatenate([mine.address, plain.address])
    if len(_numbered(together)[0]) == len(together) and mine.share.min() == 1.0:
        return 1.0, least, 1.0, 1.0  # a tile for each block
    found = []
    for bank, rest in (
        (mine.address, plain.address),
        (mine.other, plain.other),
        (at_random(mine.address, mine.chip, seed), plain.address),
    ):
        names, reads = _counts(mine.copy, bank, mine.share, taken.shape[1])
        busy = dict(zip(*(each.tolist() for each in _sums(rest, plain.uses)), strict=True))
        others = np.asarray([busy.get(name, 0.0) for name in names.tolist()])
        found.append(longest_wait(taken, reads, others))
    placed, in_order, dealt = found
    return placed, least, in_order, dealt


def _counts(copy: Whole, where: Whole, share: Real, copies: int) -> tuple[Whole, Real]:
    """The tiles that hold a bank, and their reads for each expert, when it is taken."""
    names, at = _numbered(where)
    reads = np.zeros((copies, len(names)))
    np.add.at(reads, (copy, at), share)
    return names, reads


def _sums(where: Whole, uses: Real) -> tuple[Whole, Real]:
    names, at = _numbered(where)
    return names, np.bincount(at, uses, len(names)).astype(np.float64)


def _numbered(values: Whole) -> tuple[Whole, Whole]:
    """The distinct values, ascending, and which of them each one is."""
    first = int(values.min(initial=0))
    span = int(values.max(initial=0)) - first + 1
    if span > _SPARSE * len(values):
        names, at = np.unique(values, return_inverse=True)
        return names, at.ravel()
    seen = np.zeros(span, np.bool_)
    seen[values - first] = True
    return np.flatnonzero(seen) + first, (np.cumsum(seen) - 1)[values - first]


def _least(uses: Real, chip: Whole, tiles: Whole) -> float:
    """The most reads of one tile, on the chip that has most to do for its tiles."""
    names, total = _sums(chip, uses)
    share = total / tiles[names]
    if len(uses) and uses.min() == uses.max():
        share = np.ceil(share / uses[0] - 1e-9) * uses[0]
    return float(max(share.max(initial=0.0), uses.max(initial=0.0)))


def _load_bound(least: float, most: float, per_chip: Real, tiles: Whole) -> float:
    """`least` and `most` are the uses of a block."""
    share = float((per_chip / np.maximum(tiles, 1)).max(initial=0.0))
    if least == most:
        share = float(np.ceil(share / most - 1e-9) * most)
    return max(share, most)


def _plain(value: float) -> float:
    """Without the last digits, which depend on the order of additions."""
    return round(value, 6)
