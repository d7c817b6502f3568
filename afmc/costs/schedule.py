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

from afmc.program.flow import chained, flow_of
from afmc.program.model import WorkKind
from afmc.program.program import Program

Kind = Literal["tile", "digital", "memory", "link"]
Whole = NDArray[np.int64]
Key = int | str | tuple[str, int]
"""A group by its number, a digital matrix by its name, work and links by what they are after."""


@dataclass(frozen=True)
class Duration:
    """Time that one step other than a read takes for one token."""

    name: str
    kind: Kind
    ns: float
    work: WorkKind | None = None
    """Which digital work it is; None for matrices, links and resources."""


@dataclass(frozen=True)
class Durations:
    """How long everything takes."""

    read_ns: float
    """A product on a tile, with one vector."""
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
    work: WorkKind | None = None
    """Which digital work it is; None for matrices and links."""

    @property
    def ns(self) -> float:
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Schedule:
    latency_ns: float
    """Time of one token, with nothing else on the chips."""
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
    nodes, before = _order(program, durations)
    free = np.zeros(tiles.count)
    last_on: Whole = np.full(tiles.count, -1, np.int64)
    keys = list(nodes)
    steps: dict[Key, Step] = {}
    waited: dict[Key, Key | None] = {}
    turns: dict[Key, _Turns] = {}
    for place, key in enumerate(keys):
        node = nodes[key]
        last_result = max(before[key], key=lambda each: steps[each].end_ns, default=None)
        ready = 0.0 if last_result is None else steps[last_result].end_ns
        waited[key] = last_result
        if isinstance(node, Duration):
            steps[key] = Step(node.name, node.kind, ready, ready + node.ns, node.work)
            continue
        name, after = program.groups[node].name, durations.after_read_ns[node]
        matrix = program.matrix(program.groups[node].members[0])
        if matrix.copies > 1:  # which experts are read is not known: how long is, on average
            end = ready + max(durations.waits.get(matrix.module, 1.0), 1.0) * durations.read_ns
            steps[key] = Step(name, "tile", ready, end + after)
            continue
        mine, reads = tiles.of(node)
        start = np.maximum(free[mine], ready)
        ends = start + reads * durations.read_ns
        if (start > ready).any():
            holders = np.where(start > ready, last_on[mine], -1)
            turns[key] = _Turns(mine, start, holders, int(ends.argmax()))
        free[mine], last_on[mine] = ends, place
        steps[key] = Step(name, "tile", float(start.min()), float(ends.max()) + after)
    busiest = Duration("tiles", "tile", tiles.busiest * durations.read_ns)
    slowest = max((busiest, *durations.busy), key=lambda each: each.ns)
    last = max(steps, key=lambda key: steps[key].end_ns)
    return Schedule(
        latency_ns=steps[last].end_ns,
        interval_ns=slowest.ns,
        bottleneck=slowest.name,
        steps=tuple(sorted(steps.values(), key=lambda step: (step.start_ns, step.end_ns))),
        critical_path=_path(last, keys, steps, waited, turns),
    )


@dataclass(frozen=True, eq=False)
class _Turns:
    """How a read found its tiles, where it had to wait for some."""

    tiles: Whole
    """Ascending."""
    start: NDArray[np.float64]
    """When each is read first."""
    holders: Whole
    """By place in the order, the step that had each until then; -1 where it was free."""
    slowest: int
    """The one of these tiles that is done last."""


def _path(
    last: Key,
    keys: Sequence[Key],
    steps: Mapping[Key, Step],
    waited: Mapping[Key, Key | None],
    turns: Mapping[Key, _Turns],
) -> tuple[Step, ...]:
    """Back from the last step: what it waited for is a result, or the read of a tile before."""
    path: list[Step] = []
    key: Key | None = last
    until, tile = steps[last].end_ns, -1
    while key is not None:
        step, turn = steps[key], turns.get(key)
        if turn is None:
            start, following, tile = step.start_ns, waited[key], -1
        else:
            at = turn.slowest if tile < 0 else int(np.searchsorted(turn.tiles, tile))
            start, holder = float(turn.start[at]), int(turn.holders[at])
            following, tile = (
                (waited[key], -1) if holder < 0 else (keys[holder], int(turn.tiles[at]))
            )
        path.append(Step(step.name, step.kind, start, until, step.work))
        key, until = following, start
    return tuple(reversed(path))


class _Tiles:
    """Which tiles a group is on, and how often a token reads each of them for it.

    The vectors of a matrix that a token uses several times (the windows of a convolution) are
    shared by its replicas; of one vector the first replica is read.
    """

    def __init__(self, program: Program, share: Sequence[float]) -> None:
        placed = program.placements
        blocks = program.blocks[placed["block"]]
        width = int(placed["tile"].max(initial=0)) + 1
        address = placed["chip"].astype(np.int64) * width + placed["tile"]
        names, tile = np.unique(address, return_inverse=True)
        self.count = len(names)
        assert program.allocation is not None
        group = blocks["group"].astype(np.int64)
        copies = np.asarray([each.copies for each in program.groups], np.int64)
        reads = np.ones(len(tile))  # one block at a time
        if program.allocation.rule == "parallel":  # but those of one crossbar and group at once
            crossbar = tile * (int(placed["tier"].max(initial=0)) + 1) + placed["tier"]
            owner = group * (int(blocks["replica"].max(initial=0)) + 1) + blocks["replica"]
            key = crossbar * (int(owner.max(initial=0)) + 1) + owner
            seen = np.zeros(len(key), np.bool_)
            seen[np.unique(key, return_index=True)[1]] = True
            reads = seen.astype(np.float64)
        flow = flow_of(program)
        each = (np.asarray(share) * flow.uses)[group] * flow.share(group, blocks["copy"])
        self.busiest = float(np.bincount(tile, reads * each).max(initial=0.0))
        vectors = np.ceil(flow.uses)[group]
        reads = reads * np.ceil(vectors * flow.share(group, blocks["copy"]) - 1e-9)
        plain = np.flatnonzero((copies[group] == 1) & (blocks["replica"] < np.maximum(vectors, 1)))
        order = plain[np.argsort(group[plain], kind="stable")]
        ends = np.cumsum(np.bincount(group[plain], minlength=len(copies)))
        self._tile = np.split(tile[order], ends[:-1])
        self._reads = np.split(reads[order], ends[:-1])

    def of(self, group: int) -> tuple[Whole, NDArray[np.float64]]:
        mine, at = np.unique(self._tile[group], return_inverse=True)
        return mine, np.bincount(at.ravel(), self._reads[group]).astype(np.float64)


def _order(
    program: Program, durations: Durations
) -> tuple[dict[Key, Duration | int], dict[Key, list[Key]]]:
    """Steps in dataflow order, a group by its number, and what each waits for, which is before it.

    Matrices are in dataflow order, and work is after its matrix: nothing has to be sorted.
    """
    nodes: dict[Key, Duration | int] = {}
    before: dict[Key, list[Key]] = {}
    number = {name: i for i, group in enumerate(program.groups) for name in group.members}
    place: dict[str, int] = {}
    tails: dict[str, Key] = {}  # of each matrix: its last step
    heads: dict[str, Key] = {}  # and its first piece of work
    chains: dict[str, list[Duration]] = {}
    for work, steps in zip(program.work, durations.work, strict=True):
        chains.setdefault(work.after, []).extend(steps)

    def add(key: Key, node: Duration | int, *waits_for: Key) -> None:
        nodes[key] = node
        before[key] = list(waits_for)

    def chain(name: str, *start: Key) -> None:
        """The work after a matrix."""
        last = start
        for index, step in enumerate(chains.get(name, ())):
            add((name, index), step, *last)
            heads.setdefault(name, (name, index))
            last = ((name, index),)
        for key in last:
            tails[name] = key

    chain("")
    sources = chained(program)
    for matrix in program.matrices:
        key: Key = number.get(matrix.name, matrix.name)
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
        place[matrix.name] = len(place)
        end = key
        if isinstance(key, int) and (ns := durations.between_chips_ns[key]):
            end = ("links", key)
            if first:
                add(end, Duration(f"links after {matrix.name}", "link", ns), key)
        chain(matrix.name, end)
    return nodes, before
