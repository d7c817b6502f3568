"""Allocated tiles onto crossbars of which some are dead, and some have dead lines."""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from afmc.errors import CapacityError
from afmc.hardware.crossbars import per_chip, slots
from afmc.hardware.defects import Defects
from afmc.program.layout import chips_used
from afmc.program.program import Program, Table
from afmc.targets import Target

Numbers = NDArray[np.int64]
Extents = NDArray[np.int64]
"""[tiles, 2]: rows and columns that a tile needs, or that a crossbar has."""

MORE = 16
"""So many times the chips that it takes without defects are looked at."""


def extents(program: Program) -> Extents:
    """How far the blocks of each allocated tile reach."""
    table = program.allocations
    needs = np.zeros((int(table["tile"].max(initial=-1)) + 1, 2), np.int64)
    for axis, (key, size) in enumerate((("row", "rows"), ("col", "cols"))):
        np.maximum.at(
            needs[:, axis], table["tile"], table[key] + program.blocks[size][table["block"]]
        )
    return needs


def chips_needed(needs: Extents, target: Target, defects: Defects | None) -> int | None:
    """The fewest chips, counted through with the dead ones, whose crossbars hold the tiles.

    None if `most_chips` are not enough.
    """
    high = -(-len(needs) // per_chip(target))
    low, most = high - 1, most_chips(len(needs), target)
    if defects is None:
        return high
    while not _holds(needs, target, high, defects):
        if high == most:
            return None
        low, high = high, min(high + max(high // 4, 1), most)
    while high - low > 1:
        middle = (low + high) // 2
        if _holds(needs, target, middle, defects):
            high = middle
        else:
            low = middle
    return high


def most_chips(tiles: int, target: Target) -> int:
    """After which it is given up to find crossbars."""
    return MORE * -(-tiles // per_chip(target))


def _holds(needs: Extents, target: Target, chips: int, defects: Defects) -> bool:
    table = slots(target, chips, defects)
    return int(_pairs(needs, _extents_of(table))[2].sum()) == len(needs)


def _extents_of(table: Table) -> Extents:
    return np.stack([table["rows"], table["cols"]], axis=1).astype(np.int64)


def assign(needs: Extents, table: Table) -> Numbers:
    """For every tile the number of its crossbar in `table`, or -1; as many tiles as can be.

    In the order of both wherever that places them all: a crossbar gets the next tile that fits it.
    """
    have = _extents_of(table)
    chosen = _next_that_fits(needs, have)
    if (chosen >= 0).all():
        return chosen
    tile_kind, slot_kind, count = _pairs(needs, have)
    chosen = np.full(len(needs), -1, np.int64)
    tiles = [np.flatnonzero(tile_kind == kind) for kind in range(count.shape[0])]
    free = [np.flatnonzero(slot_kind == kind) for kind in range(count.shape[1])]
    for of_tile, of_slot in np.argwhere(count).tolist():
        n = int(count[of_tile, of_slot])
        chosen[tiles[of_tile][:n]] = free[of_slot][:n]
        tiles[of_tile], free[of_slot] = tiles[of_tile][n:], free[of_slot][n:]
    return chosen


def _kinds(sizes: Extents) -> tuple[Extents, Numbers, Numbers]:
    """Distinct extents, ascending, which of them each is, and how many are of each."""
    code, kind, count = np.unique(
        sizes[:, 0] << 32 | sizes[:, 1], return_inverse=True, return_counts=True
    )
    return np.stack([code >> 32, code & 0xFFFFFFFF], axis=1), kind.ravel(), count


def _pairs(needs: Extents, have: Extents) -> tuple[Numbers, Numbers, Numbers]:
    """The most tiles that can be placed: kind of each tile, kind of each crossbar, and how many of
    each kind of tile go to each kind of crossbar, [kinds of tiles, kinds of crossbars].

    Crossbars with few rows choose first, and take the widest tile that fits: crossbars that come
    later hold whatever rows the tiles that are left need, so that only width is scarce for them.
    """
    shapes, tile_kind, tiles = _kinds(needs)
    sizes, slot_kind, free = _kinds(have)
    count = np.zeros((len(shapes), len(sizes)), np.int64)
    widest = np.argsort(-shapes[:, 1], kind="stable")
    for of_slot, size in enumerate(sizes):
        room = int(free[of_slot])
        for of_tile in widest[(shapes[widest] <= size).all(axis=1)].tolist():
            n = min(room, int(tiles[of_tile]))
            count[of_tile, of_slot] += n
            tiles[of_tile] -= n
            room -= n
    return tile_kind, slot_kind, count


def _next_that_fits(needs: Extents, have: Extents) -> Numbers:
    """Crossbar after crossbar, each with the first tile that is left and fits."""
    chosen = np.full(len(needs), -1, np.int64)
    whole = (have >= needs.max(axis=0, initial=0)).all(axis=1)
    wholes_before = np.cumsum(whole)
    shapes, kind, _ = _kinds(needs)
    of_kind = [np.flatnonzero(kind == k) for k in range(len(shapes))]
    passed = np.zeros(len(shapes), np.int64)  # tiles of each kind that are no longer free
    ahead: list[int] = []  # tiles after the next one that damaged crossbars have taken
    next_tile = used = 0
    for slot in np.flatnonzero(~whole).tolist():
        next_tile += int(wholes_before[slot]) - used  # whole crossbars take what comes
        used = int(wholes_before[slot])
        while ahead and ahead[0] <= next_tile:
            heapq.heappop(ahead)
            next_tile += 1
        if next_tile >= len(needs):
            break
        first, of_first = len(needs), -1
        for k in np.flatnonzero((shapes <= have[slot]).all(axis=1)).tolist():
            passed[k] = max(passed[k], np.searchsorted(of_kind[k], next_tile))
            if passed[k] < len(of_kind[k]) and of_kind[k][passed[k]] < first:
                first, of_first = int(of_kind[k][passed[k]]), k
        if of_first >= 0:
            chosen[first] = slot
            passed[of_first] += 1
            heapq.heappush(ahead, first)
    rest, free = np.flatnonzero(chosen < 0), np.flatnonzero(whole)
    count = min(len(rest), len(free))
    chosen[rest[:count]] = free[:count]
    return chosen


def move(program: Program, target: Target) -> Program:
    """The tiles that the program's defects hit to free crossbars; all others stay.

    Of the same chip as far as some fit, then of all chips in use, then of further ones. Raises
    CapacityError when the system has no room.
    """
    placed, defects = program.placements, program.defects
    crossbars, which = np.unique(placed[["chip", "tile", "tier"]], return_inverse=True)
    needs = np.zeros((len(crossbars), 2), np.int64)
    for axis, (key, size) in enumerate((("row", "rows"), ("col", "cols"))):
        reach = placed[key] + program.blocks[size][placed["block"]]
        np.maximum.at(needs[:, axis], which.ravel(), reach)
    chips = chips_used(placed)
    table = slots(target, chips, defects)
    where = _find(crossbars, table, target)
    hit = where < 0
    hit[~hit] = (_extents_of(table)[where[~hit]] < needs[~hit]).any(axis=1)
    free = np.ones(len(table), np.bool_)
    free[where[~hit]] = False

    def settle(tiles: Numbers, among: Numbers) -> Numbers:
        """Those that find no place."""
        among = among[free[among]]
        chosen = assign(needs[tiles], table[among])
        found = chosen >= 0
        where[tiles[found]] = among[chosen[found]]
        free[where[tiles[found]]] = False
        return tiles[~found]

    left = []
    for chip in np.unique(crossbars["chip"][hit]).tolist():
        first, last = np.searchsorted(table["chip"], (chip, chip + 1))
        mine = np.flatnonzero(hit & (crossbars["chip"] == chip))
        left.append(settle(mine, np.arange(first, last)))
    rest = settle(np.concatenate([*left, np.zeros(0, np.int64)]), np.arange(len(table)))
    limit = target.system.chips
    most = chips + most_chips(len(crossbars), target) if limit is None else limit
    while len(rest):
        if chips >= most:
            raise CapacityError(
                f"{len(rest)} of the {int(hit.sum())} crossbars of {program.model.name} that are "
                f"no longer fit find no other on {chips} chips; compile without --keep.",
                chips + 1,
                chips,
            )
        before, chips = len(table), min(chips + max(chips // 4, 1), most)
        table = slots(target, chips, defects)  # what it was comes first
        free = np.append(free, np.ones(len(table) - before, np.bool_))
        rest = settle(rest, np.arange(before, len(table)))
    moved = placed.copy()
    for key in ("chip", "tile", "tier"):
        moved[key] = table[key][where][which.ravel()]
    return replace(program, placements=moved)


def _find(crossbars: Table, table: Table, target: Target) -> Numbers:
    """The number of each crossbar in a table of slots, or -1."""

    def code(each: Table) -> Numbers:
        on_chip = each["tile"].astype(np.int64) * target.tile.tiers + each["tier"]
        return each["chip"] * per_chip(target) + on_chip

    wanted, there = code(crossbars), code(table)
    order = np.argsort(there)
    first, last = (np.searchsorted(there, wanted, side, order) for side in ("left", "right"))
    found = np.full(len(wanted), -1, np.int64)
    found[last > first] = order[first[last > first]]
    return found
