"""What the placement has to know of a program: when a group is read, how often, and what it sends.

*Stage*: how many reads of tiles come before on the longest way from the input of the model. Groups
of one stage are read at the same time (q, k and v; the experts of a bank), those of another are
not. Where a frontend found no sources of the inputs, every new input is one stage later.

*Traffic* is counted in bytes for one token, one byte a value, because the converters at both ends
have about 8 bits. An input of a group is sent once to whoever holds a part of the group; what is
computed between two matrices (norms, attention, residual sums) is computed where its last operand
is. Outputs of the last matrices leave the system and are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.program.model import Matrix
from afmc.program.program import Program

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Flow:
    stage: Whole
    """[groups]"""
    uses: Real
    """Uses of one copy for one token, [groups]."""
    replicas: Whole
    """Replicas that share the uses of each copy of a group, copy after copy and group after
    group."""
    first_copy: Whole
    """Where the copies of each group begin there, [groups]."""
    edges: tuple[tuple[tuple[int, ...], tuple[int, ...], float], ...]
    """For each input that another group feeds: groups that feed it, groups that read it, bytes."""

    def share(self, group: NDArray[np.integer[Any]], copy: NDArray[np.integer[Any]]) -> Real:
        """Share of a copy's uses that each of its replicas gets, for each block."""
        return np.asarray(1.0 / self.replicas[self.first_copy[group] + copy])


def flow_of(program: Program) -> Flow:
    stages = _stages(program)
    first = [program.matrix(group.members[0]) for group in program.groups]
    copies = np.asarray([group.copies for group in program.groups], np.int64)
    alone = program.averaged  # every use is one of each replica
    replicas = [
        1 if alone else n for group in program.groups for n in group.replicas or (1,) * group.copies
    ]
    return Flow(
        stage=np.asarray([stages[m.name] for m in first], np.int64),
        uses=np.asarray([m.per_token for m in first], np.float64) / np.maximum(copies, 1),
        replicas=np.asarray(replicas, np.int64),
        first_copy=np.cumsum(copies) - copies,
        edges=_edges(program),
    )


def chained(program: Program) -> dict[str, tuple[str, ...]]:
    """The sources of each matrix; without any in the program, the readers of the input before."""
    if any(matrix.sources for matrix in program.matrices):
        return {matrix.name: matrix.sources for matrix in program.matrices}
    readers: dict[str, list[str]] = {}
    for matrix in program.matrices:
        readers.setdefault(matrix.input, []).append(matrix.name)
    before = dict(zip(readers, [(), *map(tuple, readers.values())], strict=False))
    return {matrix.name: tuple(before[matrix.input]) for matrix in program.matrices}


def _stages(program: Program) -> dict[str, int]:
    """Reads before each matrix. A digital matrix takes none."""
    digital, sources = program.digital or {}, chained(program)
    stages: dict[str, int] = {}
    for name in sources:  # in dataflow order, so what it reads is there
        feeds = [each for each in sources[name] if each in stages]
        stages[name] = max((stages[each] + (each not in digital) for each in feeds), default=0)
    return stages


def _edges(program: Program) -> tuple[tuple[tuple[int, ...], tuple[int, ...], float], ...]:
    """Groups by name of their members; digital matrices are looked through."""
    number = {name: i for i, group in enumerate(program.groups) for name in group.members}
    sources = chained(program)
    reached: dict[str, frozenset[int]] = {}
    for name, feeds in sources.items():
        reached[name] = frozenset(
            each
            for feed in feeds
            for each in ((number[feed],) if feed in number else reached.get(feed, ()))
        )
    readers: dict[str, tuple[list[Matrix], set[int]]] = {}
    for matrix in program.matrices:
        if matrix.name in number:
            members, groups = readers.setdefault(matrix.input, ([], set()))
            members.append(matrix)
            groups.add(number[matrix.name])
    edges = []
    for members, groups in readers.values():
        feeding = tuple(sorted(reached[members[0].name]))
        if feeding:
            width = max(_values(matrix, program, feeding) for matrix in members)
            edges.append((feeding, tuple(sorted(groups)), width))
    return tuple(edges)


def _values(matrix: Matrix, program: Program, feeding: tuple[int, ...]) -> float:
    """Values of its input for one token: a vector for each use, but of the experts of a bank all
    read the same one, unless other experts made one for each."""
    by_expert = matrix.copies > 1 and any(
        program.groups[each].copies == matrix.copies for each in feeding
    )
    return matrix.rows * (matrix.per_token if by_expert or matrix.copies == 1 else 1.0)


def bytes_across(flow: Flow, first: Whole, last: Whole, count: int) -> Real:
    """What a cut costs before each of `count` crossbars in a row, [count + 1].

    `first` and `last` are the crossbars on which each group begins and ends.
    """
    steps = np.zeros(count + 2)
    for _, begin, end, width in _sent(flow, first, last):
        steps[begin + 1] += width
        steps[end + 1] -= width
    return np.asarray(np.cumsum(steps)[: count + 1])


def bytes_sent(flow: Flow, first: Whole, last: Whole) -> Real:
    """Bytes of each group times the cuts that they go across, [groups]."""
    found = np.zeros(len(first))
    for each, begin, end, width in _sent(flow, first, last):
        found[each] += width * (end - begin)
    return found


def _sent(flow: Flow, first: Whole, last: Whole) -> Iterator[tuple[int, int, int, float]]:
    """Group, the crossbars from and to which something of it is sent, and how many bytes.

    Whatever is fed from before a cut and read behind it goes across; sums of several groups (the
    residual stream) go across once, as far as they have come.
    """
    parts: dict[int, list[tuple[int, float]]] = {}
    for feeding, reading, width in flow.edges:
        end = max(int(last[each]) for each in reading)
        order = sorted(feeding, key=lambda each: (int(first[each]), each))
        for each, following in zip(order, [*order[1:], None], strict=True):
            until = end if following is None else min(end, int(first[following]))
            if until > first[each]:
                parts.setdefault(each, []).append((until, width))
    for each, reaches in parts.items():
        widest = 0.0
        for until, width in sorted(reaches, reverse=True):  # the far end first
            if width > widest:
                yield each, int(first[each]), until, width - widest
                widest = width
