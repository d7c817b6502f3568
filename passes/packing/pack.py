"""Blocks to tiles under a rule: by types, whatever the number of blocks."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np

from afmc.fit import Rule
from afmc.passes.packing.bounds import area
from afmc.passes.packing.demand import Choice, Counts, Demand
from afmc.passes.packing.layouts import Layout, Seat
from afmc.passes.packing.packed import Limits, Packed
from afmc.passes.packing.parallel import pack_diagonals
from afmc.passes.packing.patterns import fits_with_another
from afmc.passes.packing.serial import pack_dense
from afmc.passes.packing.turns import turns_of

Frozen = tuple[tuple[int, ...], ...]


def pack(
    shapes: Counts, demand: Demand, tile: tuple[int, int], rule: Rule, limits: Limits
) -> Packed:
    """As few tiles as can be found, and how many it takes at least. Shapes are [types, 2].

    Packings of models and of changed models are asked for again and again, so that the last ones
    are kept.
    """
    ways = tuple((choice.count, _frozen(choice.ways)) for choice in demand.choices)
    fixed = tuple(demand.fixed.tolist())
    return _pack(_frozen(shapes), fixed, ways, tile, rule, limits)


@lru_cache(maxsize=64)
def _pack(
    shapes_: Frozen,
    fixed: tuple[int, ...],
    ways: tuple[tuple[int, Frozen], ...],
    tile: tuple[int, int],
    rule: Rule,
    limits: Limits,
) -> Packed:
    shapes = np.asarray(shapes_, np.int64).reshape(-1, 2)
    choices = tuple(Choice(count, np.asarray(each, np.int64)) for count, each in ways)
    demand = Demand(np.asarray(fixed, np.int64), choices)
    alone = ~fits_with_another(shapes, demand.most, tile, rule)
    for choice in choices:
        alone &= ~choice.ways.any(axis=0)
    by_area = {"area": area(shapes, tile).bound(demand)}
    lonely: dict[Layout, int] = {(Seat(t, 0, 0),): n for t, n in enumerate(fixed) if alone[t]}
    count = sum(lonely.values())
    if alone.all():
        return Packed(lonely, (), {**by_area, "nothing can share": count}, 0)
    types = np.flatnonzero(~alone)
    rest = demand.of(~alone)
    if rule == "parallel":
        packed = pack_diagonals(shapes[types], rest, tile, limits)
    else:
        packed = pack_dense(shapes[types], rest.fixed, tile, limits)
    together = {
        tuple(Seat(int(types[seat.type]), seat.row, seat.col) for seat in layout): times
        for layout, times in packed.layouts.items()
    }
    bounds = by_area | {name: count + bound for name, bound in packed.bounds.items()}
    exact = _exactly(lonely | together, demand.settled(packed.taken), shapes)
    return Packed(exact, packed.taken, bounds, packed.patterns)


def _exactly(layouts: dict[Layout, int], demand: Counts, shapes: Counts) -> dict[Layout, int]:
    """These tiles without blocks that are not there: those with most turns lose them first."""
    left = Counter(layouts)
    for of_type, needed in enumerate(demand.tolist()):
        held = {layout: sum(seat.type == of_type for seat in layout) for layout in left}
        surplus = sum(n * left[layout] for layout, n in held.items()) - needed
        for layout in sorted(left, key=lambda each: -turns_of(each, shapes)):
            each = held[layout]
            if surplus >= each > 0:
                tiles = min(left[layout], surplus // each)
                left[layout] -= tiles
                left[_without(layout, of_type, each)] += tiles
                surplus -= tiles * each
            if 0 < surplus < each and left[layout]:
                left[layout] -= 1
                left[_without(layout, of_type, surplus)] += 1
                surplus = 0
    return {layout: tiles for layout, tiles in left.items() if layout and tiles}


def _without(layout: Layout, of_type: int, count: int) -> Layout:
    """Without the last blocks of a type."""
    ours = [seat for seat in layout if seat.type == of_type]
    gone = set(ours[len(ours) - count :])
    return tuple(seat for seat in layout if seat not in gone)


def _frozen(table: Counts) -> Frozen:
    return tuple(map(tuple, table.tolist()))
