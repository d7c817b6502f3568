"""When each tile fires: the time of a token through a program, and between two tokens of a stream.

The dataflow graph has a node for each group of matrices, which is read, and one for each piece of
digital work after it; an edge says that one waits for the other. Every step begins as soon as what
it waits for is there and its tiles are free: reads of one tile, on whichever tier, follow one
another in the order of the dataflow. Digital work after several matrices of one input (attention
after q, k and v) waits for all of them.

The time of a token is that of the last step. Between two tokens of a stream of independent
sequences there is at least the time for which the busiest resource is taken: a tile, the digital
units, the cache of keys and values, or what joins chips; and a stream reaches that, because every
step is of another token then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afmc.ir import Program
from afmc.passes.flow import chained

Kind = Literal["tile", "digital", "memory", "link"]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Duration:
    """Of a step that is no read, for one token."""

    name: str
    kind: Kind
    ns: float


@dataclass(frozen=True)
class Durations:
    """How long everything takes."""

    read_ns: float
    """A product on a tile."""
    after_read_ns: Sequence[float]
    """[groups], until its result is whole: adding partial sums, and the way to and from tiles."""
    between_chips_ns: Sequence[float]
    """[groups], until its result is on the chip that reads it."""
    share: Sequence[float]
    """[groups], of how many tokens of a stream each is read at all."""
    work: Sequence[Sequence[Duration]]
    """Steps of each entry of `Program.work`, one after the other."""
    waits: Mapping[str, float]
    """By name of a bank of experts, the reads one after the other that a token waits for, where
    that is known."""
    digital: Mapping[str, Duration]
    """By name of a matrix that stays digital."""
    busy: Sequence[Duration]
    """How long resources other than tiles are taken by a token."""


@dataclass(frozen=True)
class Step:
    name: str
    kind: Kind
    start_ns: float
    end_ns: float

    @property
    def ns(self) -> float:
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Schedule:
    latency_ns: float
    """Of one token, with nothing else on the chips."""
    interval_ns: float
    """Between tokens of a stream of independent sequences."""
    bottleneck: str
    """What is busy all the time then."""
    steps: tuple[Step, ...]
    """In the order of their beginning."""
    critical_path: tuple[Step, ...]
    """From the first step to the last, each waiting for the one before."""


def schedule(program: Program, durations: Durations) -> Schedule:
    """Raises nothing for any legal program."""
    tiles = _Tiles(program, durations.share)
    order, before = _order(program, durations)
    free = np.zeros(tiles.count)
    steps: dict[object, Step] = {}
    waited: dict[object, object] = {}
    last_on: NDArray[np.int64] = np.full(tiles.count, -1, np.int64)
    keys = list(order)
    for index, key in enumerate(keys):
        node = order[key]
        blocker = max(before[key], key=lambda each: steps[each].end_ns, default=None)
        ready = steps[blocker].end_ns if blocker is not None else 0.0
        if isinstance(node, Duration):
            step = Step(node.name, node.kind, ready, ready + node.ns)
        else:
            step, held_by = _read(node, ready, program, durations, tiles, free, last_on, index)
            if held_by >= 0:
                blocker = keys[held_by]
        steps[key] = step
        if blocker is not None:
            waited[key] = blocker
    busiest = tiles.busiest * durations.read_ns
    resources = [Duration("tiles", "tile", busiest), *durations.busy]
    slowest = max(resources, key=lambda each: each.ns)
    last = max(steps, key=lambda key: steps[key].end_ns)
    path = [last]
    while path[-1] in waited:
        path.append(waited[path[-1]])
    return Schedule(
        latency_ns=steps[last].end_ns,
        interval_ns=slowest.ns,
        bottleneck=slowest.name,
        steps=tuple(sorted(steps.values(), key=lambda step: (step.start_ns, step.end_ns))),
        critical_path=tuple(steps[key] for key in reversed(path)),
    )


def _read(
    group: int,
    ready: float,
    program: Program,
    durations: Durations,
    tiles: _Tiles,
    free: NDArray[np.float64],
    last_on: Whole,
    index: int,
) -> tuple[Step, int]:
    """The step of a group, and which step held it up (-1: none), by its place in the order."""
    after = durations.after_read_ns[group]
    name = program.groups[group].name
    members = program.groups[group].members
    matrix = program.matrix(members[0])
    if matrix.copies > 1:  # which experts are read is not known: how long is, on average
        turns = max([durations.waits.get(matrix.module, 1.0), 1.0])
        end = ready + turns * durations.read_ns
        return Step(name, "tile", ready, end + after), -1
    mine, reads = tiles.of(group)
    start = np.maximum(free[mine], ready)
    end_each = start + reads * durations.read_ns
    at = int(end_each.argmax())
    held = int(last_on[mine[at]]) if free[mine[at]] > ready else -1
    free[mine], last_on[mine] = end_each, index
    return Step(name, "tile", float(start.min()), float(end_each[at]) + after), held


class _Tiles:
    """Which tiles a group is on, and how often a token reads each of them for it."""

    def __init__(self, program: Program, share: Sequence[float]) -> None:
        placed = program.placements
        blocks = program.blocks[placed["block"]]
        first = blocks["replica"] == 0
        placed, blocks = placed[first], blocks[first]
        width = int(placed["tile"].max(initial=0)) + 1
        address = placed["chip"].astype(np.int64) * width + placed["tile"]
        self.names, tile = _numbered(address)
        self.count = len(self.names)
        assert program.allocation is not None
        group = blocks["group"].astype(np.int64)
        copies = np.asarray([each.copies for each in program.groups], np.int64)
        reads = np.ones(len(tile))  # one block at a time
        if program.allocation.rule == "parallel":  # but those of one crossbar and group at once
            crossbar = tile * (int(placed["tier"].max(initial=0)) + 1) + placed["tier"]
            key = crossbar * len(copies) + group
            seen = np.zeros(len(key), np.bool_)
            seen[np.unique(key, return_index=True)[1]] = True
            reads = seen.astype(np.float64)
        uses = np.asarray(share) * [
            program.matrix(g.members[0]).per_token / g.copies for g in program.groups
        ]
        self.busiest = float(np.bincount(tile, reads * uses[group]).max(initial=0.0))
        plain = np.flatnonzero(copies[group] == 1)
        order = plain[np.argsort(group[plain], kind="stable")]
        ends = np.cumsum(np.bincount(group[plain], minlength=len(copies)))
        self._tile = np.split(tile[order], ends[:-1])
        self._reads = np.split(reads[order], ends[:-1])

    def of(self, group: int) -> tuple[Whole, NDArray[np.float64]]:
        mine, at = np.unique(self._tile[group], return_inverse=True)
        return mine, np.bincount(at.ravel(), self._reads[group]).astype(np.float64)


def _numbered(values: Whole) -> tuple[Whole, Whole]:
    names, at = np.unique(values, return_inverse=True)
    return names, at.ravel()


def _order(
    program: Program, durations: Durations
) -> tuple[dict[object, Duration | int], dict[object, list[object]]]:
    """Steps in dataflow order, a group by its number, and what each waits for, which is before it.

    Matrices are in dataflow order, and work is after its matrix: nothing has to be sorted.
    """
    nodes: dict[object, Duration | int] = {}
    before: dict[object, list[object]] = {}
    number = {name: i for i, group in enumerate(program.groups) for name in group.members}
    place: dict[str, int] = {}
    tails: dict[str, object] = {}  # of each matrix: its last step
    heads: dict[str, object] = {}  # and its first piece of work
    chains: dict[str, list[Duration]] = {}
    for work, steps in zip(program.work, durations.work, strict=True):
        chains.setdefault(work.after, []).extend(steps)

    def add(key: object, node: Duration | int, *waits_for: object) -> None:
        nodes[key] = node
        before[key] = list(waits_for)

    def chain(name: str, *start: object) -> None:
        """The work after a matrix."""
        last = start
        for index, step in enumerate(chains.get(name, ())):
            add((name, index), step, *last)
            heads.setdefault(name, (name, index))
            last = ((name, index),)
        if last:
            tails[name] = last[0]

    chain("")
    sources = chained(program)
    for matrix in program.matrices:
        key: object = number.get(matrix.name, matrix.name)
        first = key not in nodes
        if first:
            add(key, key if isinstance(key, int) else durations.digital[matrix.name])
        feeds = [name for name in sources[matrix.name] if name in place]
        latest = max(feeds, key=place.__getitem__, default="")
        for source in feeds or ("",):
            if first and source in tails:
                before[key].append(tails[source])
            if source != latest and latest in heads and source in tails:
                before[heads[latest]].append(tails[source])  # their results are worked on together
        way = ("links", key)
        ns = durations.between_chips_ns[key] if isinstance(key, int) else 0.0
        if ns and way not in nodes:
            add(way, Duration(f"links after {matrix.name}", "link", ns), key)
        place[matrix.name] = len(place)
        chain(matrix.name, way if ns else key)
    return nodes, before
