"""Every chip's tiles to positions on its network, chips that carry the same traffic once.

On a chip, the outputs of a group come from its tiles in proportion to the cells they hold, and go
to each tile that reads them: as many values as rows there, one byte each, for every token that uses
the block. Of several groups that feed one input those of the last stage send it; sums with what
came before are made there. Traffic from other chips and to them is counted at the borders of chips.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from afmc.passes.placing.network import byte_hops, distances, gilmore_lawler, placed, snake
from afmc.program.flow import Flow, Real, Whole
from afmc.program.program import Program, Table
from afmc.targets import Target
from afmc.targets.tables import Links

ROUNDS = 2_000
"""Most rounds of the search on one chip."""


@dataclass(frozen=True)
class OnNetwork:
    placements: Table
    byte_hops: float
    """Bytes a token times the links that they pass, on all chips."""
    bound: float


def on_network(
    program: Program, flow: Flow, target: Target, placements: Table, links: Links, effort: int
) -> OnNetwork:
    """Moves the tiles of each chip to other positions. `effort` as of `Place`;
    0 leaves them where they are."""
    tiles = target.chip.tiles
    apart, along = distances(links, tiles), snake(links, tiles)
    order = np.argsort(placements["chip"], kind="stable")
    ends = np.flatnonzero(np.diff(placements["chip"][order])) + 1
    chips = np.split(order, ends)
    content = _Content(program, flow, placements)
    alike: dict[bytes, list[int]] = {}
    for number, members in enumerate(chips):
        alike.setdefault(content.name(members), []).append(number)
    between = {name: content.traffic(chips[each[0]], tiles) for name, each in alike.items()}
    moved = placements.copy()
    rounds = 0
    if effort and links.topology == "mesh":
        rounds = min(ROUNDS, effort // (tiles**3 * max(len(alike), 1)))
    total = bound = 0.0
    for name, numbers in alike.items():
        position = np.arange(tiles)
        if rounds:
            start = min((along, position), key=lambda each: byte_hops(between[name], apart, each))
            position = placed(between[name], apart, start, rounds)
        total += len(numbers) * byte_hops(between[name], apart, position)
        bound += len(numbers) * gilmore_lawler(between[name], apart)
        for number in numbers:
            members = chips[number]
            moved["tile"][members] = position[placements["tile"][members]]
    return OnNetwork(moved, round(total, 6), round(min(bound, total), 6))


class _Content:
    """What the chips carry."""

    def __init__(self, program: Program, flow: Flow, placements: Table) -> None:
        blocks = program.blocks[placements["block"]]
        self.group = blocks["group"].astype(np.int64)
        self.uses = flow.uses[self.group] * flow.share(self.group, blocks["copy"])
        self.tile = placements["tile"].astype(np.int64)
        self.rows, self.cells = blocks["rows"].astype(np.int64), blocks["rows"] * blocks["cols"]
        self.slice = (blocks["replica"].astype(np.int64) << 32) + blocks["row"]
        self.copy = blocks["copy"].astype(np.int64)
        self.inputs: dict[int, tuple[int, list[int]]] = {}
        for number, (feeding, reading, _) in enumerate(flow.edges):
            latest = max(flow.stage[each] for each in feeding)
            senders = [each for each in feeding if flow.stage[each] == latest]
            self.inputs |= {each: (number, senders) for each in reading}

    def name(self, members: Whole) -> bytes:
        """Equal for chips with equal traffic: groups are counted from the first on the chip."""
        group = self.group[members]
        numbers, which = np.unique(group, return_inverse=True)
        digest = hashlib.sha256()
        for each in (which, self.tile, self.rows, self.cells, self.slice, self.copy):
            of_chip = each if len(each) == len(members) else each[members]
            digest.update(np.ascontiguousarray(of_chip).tobytes() + b"|")
        digest.update(self.uses[members].tobytes())
        digest.update(repr(self._edges(numbers)).encode())
        return digest.digest()

    def _edges(self, groups: Whole) -> list[tuple[list[int], list[int]]]:
        """For each input read on the chip: who sends it, and who reads it, by place in `groups`."""
        place = {each: i for i, each in enumerate(groups.tolist())}
        readers: dict[int, tuple[list[int], list[int]]] = {}
        for each, i in place.items():
            number, senders = self.inputs.get(each, (-1, []))
            there = [place[sender] for sender in senders if sender in place]
            if there:
                readers.setdefault(number, (there, []))[1].append(i)
        return list(readers.values())

    def traffic(self, members: Whole, tiles: int) -> Real:
        """Bytes a token between every two tiles, both ways together, [tiles, tiles]."""
        groups, which = np.unique(self.group[members], return_inverse=True)
        which, tile = which.ravel(), self.tile[members]
        sent = np.zeros((len(groups), tiles))
        np.add.at(sent, (which, tile), self.cells[members])
        sent /= sent.sum(axis=1, keepdims=True)
        read = np.zeros((len(groups), tiles))
        key = np.zeros(len(members), np.int64)  # of what columns beside one another share
        for part in (which, tile, self.copy[members], self.slice[members]):
            values, place = np.unique(part, return_inverse=True)
            key = key * len(values) + place.ravel()
        _, once = np.unique(key, return_index=True)
        rows = (self.rows * self.uses)[members][once]
        np.add.at(read, (which[once], tile[once]), rows)
        between = np.zeros((tiles, tiles))
        for senders, readers in self._edges(groups):
            between += np.outer(sent[senders].mean(axis=0), read[readers].sum(axis=0))
        between += between.T
        np.fill_diagonal(between, 0.0)
        return between
