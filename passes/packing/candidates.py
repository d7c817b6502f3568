"""Layouts of one tile to choose from, and guillotine layouts that are worth adding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from afmc.passes.packing.columns import WORTHWHILE, Priced
from afmc.passes.packing.demand import Counts
from afmc.passes.packing.free_rectangles import fill, greedy_answers
from afmc.passes.packing.guillotine import Raster, most_valuable
from afmc.passes.packing.guillotine_cuts import Plates
from afmc.passes.packing.layouts import Layout, counts_of, diagonal, grid

_ATTEMPTS = 4  # at a layout that does not need more blocks of a type than there are
_FILL_S = 0.3  # deterministic seconds to fill one tile by counting cuts


class Pool:
    """Layouts by their counts, to begin with those of blocks of one type and of greedy answers."""

    def __init__(
        self, shapes: Counts, demand: Counts, tile: tuple[int, int], count_cuts: bool = True
    ) -> None:
        """`count_cuts`: whether CP-SAT is to look for a layout where nothing quick finds one."""
        self.shapes, self.tile = shapes, tile
        # by area: no count of a tile is larger
        by_area = tile[0] * tile[1] // shapes.prod(axis=1)
        self.most = np.minimum(by_area, demand)
        self.layouts: dict[tuple[int, ...], Layout] = {}
        for of_type, count in enumerate(self.most.tolist()):
            self.add(grid(of_type, count, shapes, tile))
        for layouts in greedy_answers(shapes, demand, tile):
            for layout in layouts:
                self.add(layout)
        self._raster = Raster.of(shapes, self.most, tile)
        self._count_cuts = count_cuts

    @cached_property
    def _plates(self) -> Plates:
        return Plates(self._raster, self.shapes)

    @property
    def counts(self) -> Counts:
        """[patterns, types]"""
        return np.asarray(list(self.layouts), np.int64).reshape(-1, len(self.shapes))

    def add(self, layout: Layout) -> Counts:
        """Takes a layout in, without turns where that can be; returns its blocks of each type."""
        counts = counts_of(layout, len(self.shapes))
        if (counts @ self.shapes <= self.tile).all():
            layout = diagonal(counts.tolist(), self.shapes)
        self.layouts.setdefault(tuple(counts.tolist()), layout)
        return counts

    def price(self, duals: list[int], time_limit_s: float) -> Priced:
        """The pricing problem over guillotine layouts; it bounds nothing."""
        worth = np.asarray(duals)
        allowed = self.most > 0
        for _ in range(_ATTEMPTS):
            values = np.where(allowed, worth, 0).tolist()
            layout, value = most_valuable(self._raster, self.shapes, values)
            if value <= WORTHWHILE:
                break
            kept = within(layout, self.most)
            if self._value(kept, worth) > WORTHWHILE:
                return Priced(self.add(kept), None, 0.0)
            # worth it only with more of some type than there are
            greedy = max(self._filled(worth), key=lambda each: self._value(each, worth))
            if self._value(greedy, worth) > WORTHWHILE:
                return Priced(self.add(greedy), None, 0.0)
            allowed &= counts_of(layout, len(self.shapes)) <= self.most
        if allowed[self.most > 0].all() or not self._count_cuts or self._plates.too_many:
            return Priced(None, None, 0.0)
        filled = self._plates.fill(self.most, duals, min(time_limit_s, _FILL_S))
        for layout in filled.layouts:
            if self._value(layout, worth) > WORTHWHILE:
                return Priced(self.add(layout), None, filled.spent_s)
        return Priced(None, None, filled.spent_s)

    def _filled(self, worth: Counts) -> Iterator[Layout]:
        """Greedily: the most valuable first, by cells and by themselves, and the largest first."""
        area = self.shapes.prod(axis=1)
        for rank in (worth / area, worth, area):
            order = np.argsort(-rank, kind="stable")
            yield fill(order[worth[order] > 0].tolist(), self.most, self.shapes, self.tile)

    def _value(self, layout: Layout, worth: Counts) -> int:
        return int(counts_of(layout, len(self.shapes)) @ worth)


def within(layout: Layout, most: Counts) -> Layout:
    """Without the blocks that are more than `most` of their type."""
    left = most.tolist()
    kept = []
    for seat in layout:
        if left[seat.type] > 0:
            left[seat.type] -= 1
            kept.append(seat)
    return tuple(kept)
