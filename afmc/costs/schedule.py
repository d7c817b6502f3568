"""When each tile fires: the time of a token through a program, and between two tokens of a stream.

The dataflow graph has a node for each group of matrices, which is read, and one for each piece of
digital work after it; an edge says that one waits for the other. Every step begins as soon as what
it waits for is there and its tiles are free: reads of one tile, on whichever tier, follow one
another in the order of the dataflow. Digital work after several matrices of one input (attention
after q, k and v) waits for all of them.

What is shared is shared: a step holds each resource that it uses (a digital unit, the memory beside
the chips, a link) for as long as it uses it, and steps that want the same one follow one another,
in the order of the dataflow too.

The time of a token is that of the last step. Between two tokens of a stream of independent
sequences there is at least the time for which the busiest resource is held, and a stream reaches
that, because every step is of another token then. A token alone takes no less: it holds that
resource for as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Which digital work it is; None for matrices and links."""
    holds: tuple[tuple[str, float], ...] = ()
    """Resources by name, and for how many nanoseconds from the beginning it holds each."""
    share: float = 1.0
    """Of how many tokens of a stream it is done at all."""


@dataclass(frozen=True)
class Resource:
    """What steps share, other than tiles."""

    kind: Kind
    count: int = 1
    """How many there are; a step takes the one that is free first."""


@dataclass(frozen=True)
class Durations:
    """How long everything takes."""

    read_ns: float
    """A product on a tile, with one vector."""
    after_read_ns: Sequence[float]
    """[groups], until its result is whole: adding partial sums, and the way to and from tiles."""
    between_chips_ns: Sequence[float]
    """[groups], until its result is on the chip that reads it."""
    link_ns: Sequence[float]
    """[groups], for how long of that it holds a link."""
    share: Sequence[float]
    """[groups], of how many tokens of a stream each is read at all."""
    work: Sequence[Sequence[Duration]]
    """Steps of each entry of `Program.work`, one after the other."""
    waits: Mapping[str, float]
    """By name of a bank of experts, the reads one after the other that a token waits for, where
    that is known."""
    digital: Mapping[str, Duration]
    """By name of a matrix that stays digital."""
    resources: Mapping[str, Resource]
    """Everything that steps hold, by name."""


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
class Busy:
    """How long a token of a stream holds a resource, one of them where there are several."""

    name: str
    """Tiles, of which it is the one held longest, or the name of a resource."""
    ns: float
    matrices_ns: float = 0.0
    """Of that, for matrices that stay digital."""


@dataclass(frozen=True)
class Schedule:
    latency_ns: float
    """Time of one token, with nothing else on the chips."""
    interval_ns: float
    """Between tokens of a stream of independent sequences."""
    bottleneck: str
    """What is busy all the time then."""
    busy: tuple[Busy, ...]
    """Each resource that a token holds, the one held longest first."""
    steps: tuple[Step, ...]
    """In the order of their beginning."""
    critical_path: tuple[Step, ...]
    """From the first step to the last, each waiting for the one before."""


LINKS, TILES = "links between chips", "tiles"


def schedule(program: Program, durations: Durations) -> Schedule:
    """Raises nothing for any legal program."""
    tiles = _Tiles(program, durations.share)
    nodes, before = _order(program, durations)
    held = _Held(tiles.count, durations.resources, len(nodes))
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
            start, turn = held.take(node, ready, place)
            steps[key] = Step(node.name, node.kind, start, start + node.ns, node.work)
        else:
            group = program.groups[node]
            mine, reads = tiles.of(node)
            start, end, turn = held.read(mine, reads * durations.read_ns, ready, place)
            matrix = program.matrix(group.members[0])
            if matrix.copies > 1:  # which experts are read is not known: how long is, on average
                least = max(durations.waits.get(matrix.module, 1.0), 1.0) * durations.read_ns
                end = max(end, ready + least)
            end += durations.after_read_ns[node]
            steps[key] = Step(group.name, "tile", start, end)
        if turn is not None:
            turns[key] = turn
    busy = _busy(nodes.values(), durations, tiles.busiest)
    last = max(steps, key=lambda key: steps[key].end_ns)
    return Schedule(
        latency_ns=steps[last].end_ns,
        interval_ns=busy[0].ns,
        bottleneck=busy[0].name,
        busy=busy,
        steps=tuple(sorted(steps.values(), key=lambda step: (step.start_ns, step.end_ns))),
        critical_path=_path(last, keys, steps, waited, turns),
    )


def _busy(
    nodes: Iterable[Duration | int], durations: Durations, busiest_tile: float
) -> tuple[Busy, ...]:
    held = {TILES: Busy(TILES, busiest_tile * durations.read_ns)}
    for node in nodes:
        if isinstance(node, int):
            continue
        for name, ns in node.holds:
            mine = node.share * ns / durations.resources[name].count
            so_far = held.get(name, Busy(name, 0.0))
            matrix = node.work is None and node.kind != "link"
            of_matrices = so_far.matrices_ns + (mine if matrix else 0.0)
            held[name] = Busy(name, so_far.ns + mine, of_matrices)
    return tuple(sorted(held.values(), key=lambda each: -each.ns))


@dataclass(frozen=True, eq=False)
class _Turns:
    """How a step found its tiles or resources, where it had to wait for some."""

    held: Whole
    """Tiles or resources, ascending."""
    start: NDArray[np.float64]
    """When each is used first."""
    holders: Whole
    """By place in the order, the step that it waited for; -1 where it waited for none."""
    waited_on: Whole
    """The tile or resource that this step held."""
    slowest: int
    """The one of these that is done last."""


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
    until, held = steps[last].end_ns, -1
    while key is not None:
        step, turn = steps[key], turns.get(key)
        if turn is None:
            start, following, held = step.start_ns, waited[key], -1
        else:
            at = turn.slowest if held < 0 else int(np.searchsorted(turn.held, held))
            start, holder = float(turn.start[at]), int(turn.holders[at])
            following, held = (
                (waited[key], -1) if holder < 0 else (keys[holder], int(turn.waited_on[at]))
            )
        path.append(Step(step.name, step.kind, start, until, step.work))
        key, until = following, start
    return tuple(reversed(path))


class _Held:
    """Until when each tile and each resource is held, and by which step: tiles, then resources."""

    def __init__(self, tiles: int, resources: Mapping[str, Resource], steps: int) -> None:
        self.span: dict[str, slice] = {}
        end = tiles
        for name, resource in resources.items():
            begin, end = end, end + min(resource.count, steps)  # more are never held
            self.span[name] = slice(begin, end)
        self.free = np.zeros(end)
        self.by: Whole = np.full(end, -1, np.int64)

    def take(self, step: Duration, ready: float, place: int) -> tuple[float, _Turns | None]:
        """When a step begins that needs all of its resources at once."""
        if not step.holds:
            return ready, None
        spans = [self.span[name] for name, _ in step.holds]
        mine = np.asarray([span.start + int(self.free[span].argmin()) for span in spans])
        latest = int(mine[self.free[mine].argmax()])
        start = max(ready, float(self.free[latest]))
        turn = None
        if start > ready:
            order, count = np.sort(mine), len(mine)
            holders, on = np.full(count, self.by[latest]), np.full(count, latest)
            turn = _Turns(order, np.full(count, start), holders, on, 0)
        self.free[mine] = start + np.asarray([ns for _, ns in step.holds])
        self.by[mine] = place
        return start, turn

    def read(
        self, tiles: Whole, ns: NDArray[np.float64], ready: float, place: int
    ) -> tuple[float, float, _Turns | None]:
        """When a read begins and ends, each of its tiles by itself."""
        start = np.maximum(self.free[tiles], ready)
        ends, turn = start + ns, None
        if (start > ready).any():
            holders = np.where(start > ready, self.by[tiles], -1)
            turn = _Turns(tiles, start, holders, tiles, int(ends.argmax()))
        self.free[tiles], self.by[tiles] = ends, place
        return float(start.min()), float(ends.max()), turn


class _Tiles:
    """Which tiles a group is on, and how often a token reads each of them for it.

    The vectors of a matrix that a token uses several times (the windows of a convolution) are
    shared by its replicas; of one vector the first replica is read. Of experts, and of replicas
    that a token may leave alone, the reads are those that are expected.
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
        read = program.averaged | (blocks["replica"] < np.maximum(vectors, 1))
        certain = (copies[group] == 1) & read
        whole = np.ceil(vectors * flow.share(group, blocks["copy"]) - 1e-9)
        reads = reads * np.where(certain, np.maximum(whole, each), each)
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(np.bincount(group, minlength=len(copies)))
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
                holds = ((LINKS, held),) if (held := durations.link_ns[key]) else ()
                add(end, Duration(f"links after {matrix.name}", "link", ns, holds=holds), key)
        chain(matrix.name, end)
    return nodes, before
