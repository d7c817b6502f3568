"""Layouts onto units: which seat of which tile each of them gets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.layouts import Layout
from afmc.passes.packing.side_by_side import Units
from afmc.program.program import ALLOCATION, Table

SEAT = np.dtype([("tile", "<i4"), ("row", "<i4"), ("col", "<i4")])


def stamp(units: Units, layouts: Mapping[Layout, int], apart: Counts) -> Table:
    """One row for every block. `apart` says for each type how many units after one another are to
    be on different tiles, as far as there are so many.
    """
    seats = _seats(layouts, apart)
    seated = np.zeros(len(units.kind), SEAT)
    order = np.argsort(units.kind.astype(np.int16), kind="stable")
    ends = np.cumsum(np.bincount(units.kind, minlength=len(apart)))
    for of_type, members in enumerate(np.split(order, ends[:-1])):
        seated[members] = seats.get(of_type, seated[:0])
    table = np.zeros(len(units.of_block), ALLOCATION)
    table["block"] = np.arange(len(table))
    table["tile"] = _in_dataflow_order(seated["tile"])[units.of_block]
    table["row"] = seated["row"][units.of_block]
    table["col"] = seated["col"][units.of_block] + units.col
    return table


def _seats(layouts: Mapping[Layout, int], apart: Counts) -> dict[int, Table]:
    """The seats of each type, in the order in which they are taken."""
    found: dict[int, list[Table]] = {}
    first = 0
    for layout, tiles in layouts.items():
        for of_type in sorted({seat.type for seat in layout}):
            mine = [seat for seat in layout if seat.type == of_type]
            tile, seat = np.divmod(np.arange(tiles * len(mine)), len(mine))
            if len(mine) > 1:  # from tile to tile within a window, again for the next seat
                order = np.lexsort([tile, seat, tile // max(int(apart[of_type]), 1)])
                tile, seat = tile[order], seat[order]
            table = np.zeros(len(tile), SEAT)
            table["tile"] = first + tile
            table["row"] = np.asarray([each.row for each in mine])[seat]
            table["col"] = np.asarray([each.col for each in mine])[seat]
            found.setdefault(of_type, []).append(table)
        first += tiles
    return {of_type: np.concatenate(tables) for of_type, tables in found.items()}


def _in_dataflow_order(tile: Counts) -> Counts:
    """Renumbered by their first unit, so that neighbours in the model are neighbours."""
    first = np.zeros(int(tile.max(initial=-1)) + 1, np.int64)
    first[tile[::-1]] = np.arange(len(tile))[::-1]  # of several the last assignment counts
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[tile]
