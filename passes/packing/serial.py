"""Rule ``serial``: any layout without overlap; blocks on one line of a tile take turns.

Guillotine layouts come first, by column generation. What rounding the linear master leaves over is
packed by counting cuts. The search ends as soon as a bound is met; only where none is are all
layouts looked at, by CP-SAT. Of equal answers the one with fewer turns is taken.
"""

from __future__ import annotations

import numpy as np

from afmc.passes.packing.any_layout import AnyLayout, list_maximal
from afmc.passes.packing.bounds import best, dual_feasible
from afmc.passes.packing.candidates import Pool, within
from afmc.passes.packing.columns import WORTHWHILE, Priced, generate_columns
from afmc.passes.packing.cover import Goal, cover, tiles
from afmc.passes.packing.demand import Counts, Demand
from afmc.passes.packing.free_rectangles import fill
from afmc.passes.packing.guillotine import Raster, most_valuable
from afmc.passes.packing.guillotine_cuts import Plates
from afmc.passes.packing.layouts import Layout, Seat, counts_of, diagonal
from afmc.passes.packing.packed import Limits, Packed
from afmc.passes.packing.patterns import maximal_patterns
from afmc.passes.packing.turns import turns_of

_SPARE = (0, 1, 2)  # tiles of each pattern that rounding gives up, to have more to choose from
_LISTED = 2_000  # candidates up to which layouts without turns are all offered

# Of the time limit: a step ends long before, or would not end in many times as much.
_GENERATE, _CHOOSE, _ROUND, _PROVE, _LIST, _TURNS = 0.1, 0.05, 0.05, 0.03, 0.01, 0.03


def pack_dense(shapes: Counts, demand: Counts, tile: tuple[int, int], limits: Limits) -> Packed:
    search = _Search(shapes, demand, tile, limits.time_limit_s)
    steps = [search.choose, search.round]
    if not search.everything.too_many:
        steps += [search.prove, search.round, search.list_all]
    for step in steps:
        step()
        if search.proven:
            break
    search.take_fewer_turns()
    layouts = dict(zip(search.pool.layouts.values(), search.times.tolist(), strict=True))
    used = {layout: times for layout, times in layouts.items() if times}
    return Packed(used, (), search.bounds, len(search.pool.layouts))


class _Search:
    """The best answer so far, and the bounds on any."""

    def __init__(
        self, shapes: Counts, demand: Counts, tile: tuple[int, int], time_limit_s: float
    ) -> None:
        self.shapes, self.demand, self.tile = shapes, Demand(demand), tile
        weights = dual_feasible(shapes, tile)
        self.bounds = {"dual feasible": best(weights, self.demand)}
        self.pool = Pool(shapes, demand, tile)
        self.everything = AnyLayout(shapes, self.pool.most, tile, weights)
        self.time_limit_s = time_limit_s
        self.columns = generate_columns(
            self.pool.counts, self.demand, self.pool.price, time_limit_s * _GENERATE, self.bound
        )
        self.times = np.zeros(0, np.int64)

    @property
    def bound(self) -> int:
        return max(self.bounds.values())

    @property
    def proven(self) -> bool:
        return int(self.times.sum()) == self.bound

    def choose(self) -> None:
        """Among the layouts of the pool, in whole numbers."""
        patterns = self.pool.counts
        hint = (self._padded(self.times), ()) if len(self.times) else None
        goals = [tiles(patterns)]
        limit = self.time_limit_s * _CHOOSE
        self.times = cover(patterns, self.demand, goals, limit, self.bound, hint).times

    def round(self) -> None:
        """What the linear master uses in whole numbers stays; the rest is packed anew."""
        for spare in _SPARE:
            kept = np.maximum(np.floor(self.columns.times + 1e-6).astype(np.int64) - spare, 0)
            rest = np.maximum(self.demand.fixed - kept @ self.columns.patterns, 0)
            most = int(self.times.sum() - kept.sum()) - 1  # to be an improvement
            found = self._pack_rest(rest, max(self.bound - int(kept.sum()), 0), most)
            if found is not None:
                self._take(kept, found)
            if self.proven:
                return

    def prove(self) -> None:
        """The linear master over all layouts: a bound, and layouts that no guillotine cuts."""

        def price(duals: list[int], time_limit_s: float) -> Priced:
            limit = min(time_limit_s, self.time_limit_s * _PROVE / 4)
            found = self.everything.most_valuable(duals, limit, WORTHWHILE)
            pattern = self.pool.add(found.layout) if found.layout else None
            return Priced(pattern, found.bound, found.spent_s)

        limit = self.time_limit_s * _PROVE
        self.columns = generate_columns(self.pool.counts, self.demand, price, limit, self.bound)
        self.bounds["linear master"] = self.columns.bound
        self.choose()

    def list_all(self) -> None:
        """All maximal layouts, where these are few: the set cover over them is exact."""
        listed = list_maximal(self.everything, list(self.pool.layouts), self.time_limit_s * _LIST)
        if listed is None:
            return
        for layout in listed:
            self.pool.add(layout)
        patterns = self.pool.counts
        limit, hint = self.time_limit_s * _CHOOSE, (self._padded(self.times), ())
        chosen = cover(patterns, self.demand, [tiles(patterns)], limit, self.bound, hint)
        self.times, self.bounds["set cover"] = chosen.times, chosen.bound

    def take_fewer_turns(self) -> None:
        """As many tiles, and as few turns as the pool allows in sum over them."""
        alone = np.eye(len(self.shapes), dtype=np.int64)
        apart = maximal_patterns(self.shapes, self.demand.fixed, self.tile, _LISTED)
        for counts in np.vstack([alone, alone[:0] if apart is None else apart]):
            self.pool.add(diagonal(counts.tolist(), self.shapes))
        turns = [turns_of(layout, self.shapes) for layout in self.pool.layouts.values()]
        patterns = self.pool.counts
        self.times = cover(
            patterns,
            self.demand,
            [tiles(patterns), Goal(np.asarray(turns, np.int64))],
            self.time_limit_s * _TURNS,
            int(self.times.sum()),
            (self._padded(self.times), ()),
        ).times

    def _pack_rest(self, rest: Counts, least: int, most: int) -> list[Layout] | None:
        """Layouts of `least` to `most` tiles for what is left; None where none were found."""
        if most < least:
            return None
        if not rest.any():
            return []
        present = np.flatnonzero(rest)
        shapes, demand = self.shapes[present], rest[present]
        raster = Raster.of(shapes, demand, self.tile)
        plates = Plates(raster, shapes)
        if plates.too_many:
            layouts = _one_by_one(raster, shapes, demand, self.tile)
        else:
            layouts = list(plates.cover(demand, least, most, self.time_limit_s * _ROUND).layouts)
        if not 0 < len(layouts) <= most:
            return None
        return [
            tuple(Seat(int(present[seat.type]), seat.row, seat.col) for seat in layout)
            for layout in layouts
        ]

    def _take(self, kept: Counts, layouts: list[Layout]) -> None:
        keys = [tuple(self.pool.add(layout).tolist()) for layout in layouts]
        position = {key: index for index, key in enumerate(self.pool.layouts)}
        self.times = self._padded(kept)
        for key in keys:
            self.times[position[key]] += 1

    def _padded(self, times: Counts) -> Counts:
        """For a pool that has grown since."""
        return np.pad(times, (0, len(self.pool.layouts) - len(times)))


def _one_by_one(
    raster: Raster, shapes: Counts, demand: Counts, tile: tuple[int, int]
) -> list[Layout]:
    """Tile after tile, each as full as can be."""
    left, layouts = demand.copy(), []
    while left.any():
        area = np.where(left > 0, shapes.prod(axis=1), 0)
        cut = within(most_valuable(raster, shapes, area.tolist())[0], left)
        greedy = fill(np.argsort(-area, kind="stable").tolist(), left, shapes, tile)
        layout = max(cut, greedy, key=lambda each: int(counts_of(each, len(shapes)) @ area))
        layouts.append(layout)
        left -= counts_of(layout, len(shapes))
    return layouts
