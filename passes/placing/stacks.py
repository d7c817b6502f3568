"""Every chip of stacked tiles, those that hold the same once: which tile each crossbar goes to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from afmc.passes.placing.experts import Sample, least_wait, longest_wait, swapped
from afmc.passes.placing.tiers import deal, spread, waiting
from afmc.program.flow import Flow, Real, Whole
from afmc.program.program import Program, Table

MOST_SORTS = 256
"""Most sorts of blocks on a chip; with more, experts of a bank are told apart in a second step."""
SWAPS = 4_000
"""Tried for each bank on a chip, at most, and ten times as many in the whole program."""


@dataclass(frozen=True)
class Held:
    """What a chip holds, and where there is room."""

    stage: Whole
    """Stage of each sort of block, [sorts], from 0 on this chip."""
    routing: Whole
    """Which of the routings on this chip it follows, -1 for none, [sorts]."""
    sample: Whole
    """Which sample each routing on this chip has, [routings]."""
    expert: Whole
    """-1 for none, or for all alike, [sorts]."""
    uses: Real
    """For one token, [sorts]."""
    kinds: Whole
    """Blocks of each sort in each kind of crossbar, [kinds, sorts]."""
    kind: Whole
    """Kind of each crossbar, in dataflow order."""
    bank: Whole
    """The routing of each crossbar that holds one block of an expert and nothing else, else -1."""
    copy: Whole
    """Which expert."""
    tile: Whole
    """Tile of each slot, in the order in which they are filled."""

    def name(self) -> bytes:
        digest = hashlib.sha256()
        for each in vars(self).values():
            digest.update(np.ascontiguousarray(each).tobytes() + b"|")
        return digest.digest()


class Stacks:
    """`effort`: how many changes the searches look at, all chips together."""

    def __init__(
        self,
        program: Program,
        flow: Flow,
        samples: Mapping[int, Sample],
        effort: int,
        seed: int,
    ) -> None:
        self.flow, self.effort, self.seed = flow, effort, seed
        table = program.allocations
        order = np.argsort(table["tile"], kind="stable")
        blocks = program.blocks[table["block"][order]]
        self.crossbar = table["tile"][order].astype(np.int64)
        self.group = blocks["group"].astype(np.int64)
        self.copy = blocks["copy"].astype(np.int64)
        self.share = flow.share(self.group, self.copy)
        self.samples = list({id(each): each for each in samples.values()}.values())
        numbers = {id(each): i for i, each in enumerate(self.samples)}
        modules = {
            index: program.matrix(program.groups[index].members[0]).module for index in samples
        }
        first = {module: index for index, module in reversed(modules.items())}
        self.routing = np.full(len(program.groups), -1, np.int64)
        self.sample = np.full(len(program.groups), -1, np.int64)
        for index, sample in samples.items():
            self.routing[index] = first[modules[index]]  # one for gate, up and down of a layer
            self.sample[self.routing[index]] = numbers[id(sample)]

    def arranged(self, free: Table, cuts: Whole, in_order: Whole) -> Whole:
        """The slot of each tile of the allocation; `in_order` is the one without a plan."""
        slot = in_order.copy()
        begin = np.searchsorted(free["chip"], np.arange(len(cuts)))
        alike: dict[bytes, tuple[Held, list[int]]] = {}
        for k in np.flatnonzero(np.diff(cuts)).tolist():  # a dead chip holds nothing
            held = self._held(int(cuts[k]), int(cuts[k + 1]), free[begin[k] : begin[k + 1]])
            alike.setdefault(held.name(), (held, []))[1].append(k)
        banks = sum(len(_banks(held)) for held, _ in alike.values())
        swaps = min(SWAPS, 10 * SWAPS // max(banks, 1)) if self.effort else 0
        for held, chips in alike.values():
            tile = self._solved(held, self.effort // len(alike), swaps)
            places = _slots_of(tile, held.tile)
            for k in chips:
                slot[cuts[k] : cuts[k + 1]] = begin[k] + places
        return slot

    def _held(self, start: int, end: int, free: Table) -> Held:
        a, b = np.searchsorted(self.crossbar, [start, end])
        group, copy, crossbar = self.group[a:b], self.copy[a:b], self.crossbar[a:b] - start
        share = self.share[a:b]
        uses, which = np.unique(self.flow.uses[group] * share, return_inverse=True)
        stage = self.flow.stage[group]
        firsts = np.unique(self.routing[group])
        routing = firsts.searchsorted(self.routing[group]) - (firsts < 0).sum()
        routing[share < 1] = -1  # a token meets one of the replicas, and which is not known
        firsts = firsts[firsts >= 0]
        expert = np.where(routing < 0, -1, copy)
        begin = int(stage.min()) if len(stage) else 0
        columns = [stage - begin, routing, expert, which.ravel()]
        sorts, sort = _distinct(columns)
        if len(sorts) > MOST_SORTS:
            columns[1] = columns[2] = np.full(len(group), -1)
            sorts, sort = _distinct(columns)
        blocks = np.bincount(crossbar, minlength=end - start)
        mark = np.random.default_rng(0).integers(2**63, size=len(sorts), dtype=np.uint64)
        marks = np.zeros(end - start, np.uint64)
        np.add.at(marks, crossbar, mark[sort])  # equal for crossbars with the same blocks
        _, example, kind = np.unique(marks, return_index=True, return_inverse=True)
        kinds = np.zeros((len(example), len(sorts)), np.int64)
        row = np.full(end - start, -1, np.int64)
        row[example] = np.arange(len(example))
        shown = row[crossbar] >= 0
        np.add.at(kinds, (row[crossbar[shown]], sort[shown]), 1)
        bank, member = np.full((2, end - start), -1, np.int64)
        alone = blocks[crossbar] == 1
        bank[crossbar[alone]], member[crossbar[alone]] = routing[alone], expert[alone]
        return Held(
            stage=sorts[:, 0],
            routing=sorts[:, 1],
            sample=self.sample[firsts],
            expert=sorts[:, 2],
            uses=uses[sorts[:, 3]],
            kinds=kinds,
            kind=kind.ravel(),
            bank=bank,
            copy=member,
            tile=free["tile"].astype(np.int64),
        )

    def _solved(self, held: Held, effort: int, swaps: int) -> Whole:
        """The tile of each crossbar."""
        names, free = np.unique(held.tile, return_inverse=True)
        free = free.ravel()
        tiles, start = len(names), free[: len(held.kind)]
        counts = np.zeros((len(held.kinds), tiles), np.int64)
        np.add.at(counts, (held.kind, start), 1)
        room = np.bincount(free, minlength=tiles) - counts.sum(axis=0)
        cost = held.kinds @ waiting(held.stage, self._both(held)) @ held.kinds.T
        found = spread(cost, counts, room, effort)
        tile = start
        if (found != counts).any():
            tile = min(
                (start, deal(held.kind, found, start)),
                key=lambda each: self._reads(held, each, tiles),
            )
        return np.asarray(names[self._by_expert(held, tile, tiles, swaps)])

    def _reads(self, held: Held, tile: Whole, tiles: int) -> float:
        """Reads one after the other for a token: for each stage the most of one tile."""
        stage, banks, uses = _stage_of(held), _banks(held), held.kinds @ held.uses
        plain = stage.copy()
        for members in banks.values():
            plain[members] = -1
        total = 0.0
        for each in np.unique(stage).tolist():
            mine = np.flatnonzero(plain == each)
            besides = np.bincount(tile[mine], uses[held.kind[mine]], tiles).astype(np.float64)
            here = {pair: members for pair, members in banks.items() if pair[0] == each}
            if not here:
                total += besides.max()
            for (_, routing), members in here.items():
                sample = self.samples[int(held.sample[routing])]
                reads = np.zeros((sample.searched.shape[1], tiles), np.int64)
                np.add.at(reads, (held.copy[members], tile[members]), 1)
                total += longest_wait(sample.searched, reads, besides)
        return total

    def _both(self, held: Held) -> Real:
        """How often a token uses both of two sorts of blocks."""
        both = held.uses[:, None] * held.uses[None, :]
        for number, sample in enumerate(self.samples[each] for each in held.sample.tolist()):
            mine = np.flatnonzero((held.routing == number) & (held.expert >= 0))
            if len(mine):
                experts = held.expert[mine]
                both[np.ix_(mine, mine)] = sample.together()[np.ix_(experts, experts)]
        return np.asarray(both)

    def _by_expert(self, held: Held, tile: Whole, tiles: int, swaps: int) -> Whole:
        """Blocks of experts that a token takes together go apart, on the same tiles as before."""
        tile, uses = tile.copy(), held.kinds @ held.uses
        for (stage, routing), mine in _banks(held).items():
            sample = self.samples[int(held.sample[routing])]
            reads = np.zeros((sample.searched.shape[1], tiles), np.int64)
            np.add.at(reads, (held.copy[mine], tile[mine]), 1)
            others = np.flatnonzero(_stage_of(held) == stage)
            others = np.setdiff1d(others, mine)
            besides = np.bincount(tile[others], uses[held.kind[others]], tiles).astype(np.float64)
            at_least = least_wait(
                sample.searched,
                reads.sum(axis=1, keepdims=True).astype(np.float64),
                np.asarray([tiles]),
                besides.sum(keepdims=True),
            )
            if len(mine) > 2 * swaps or longest_wait(sample.searched, reads, besides) <= at_least:
                continue  # too many for so few swaps, or as good as can be
            better = swapped(sample, reads, besides, swaps, self.seed)
            tile[mine] = deal(held.copy[mine], better, tile[mine])
        return tile


def _distinct(columns: list[Whole]) -> tuple[Whole, Whole]:
    """The distinct rows of some columns, and which of them each row is."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        low = int(column.min(initial=0))
        key = key * (int(column.max(initial=0)) - low + 1) + column - low
    _, example, which = np.unique(key, return_index=True, return_inverse=True)
    return np.stack([column[example] for column in columns], axis=1), which.ravel()


def _stage_of(held: Held) -> Whole:
    """The stage of each crossbar, of its first sort of blocks."""
    return np.asarray(held.stage[(held.kinds > 0).argmax(axis=1)][held.kind])


def _banks(held: Held) -> dict[tuple[int, int], Whole]:
    """Crossbars of experts that are read together, by stage and routing."""
    stage = _stage_of(held)
    pairs, which = _distinct([stage, held.bank])
    return {
        (int(pair[0]), int(pair[1])): np.flatnonzero(which == number)
        for number, pair in enumerate(pairs)
        if pair[1] >= 0
    }


def _slots_of(tile: Whole, free: Whole) -> Whole:
    """A slot for each crossbar: the next one of its tile. `free` are the tiles of the slots."""
    order, wanted = np.argsort(free, kind="stable"), np.argsort(tile, kind="stable")
    begin = np.searchsorted(free[order], tile[wanted])
    rank = np.arange(len(tile)) - np.searchsorted(tile[wanted], tile[wanted])
    result = np.empty(len(tile), np.int64)
    result[wanted] = order[begin + rank]
    return result
