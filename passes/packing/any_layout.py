"""All layouts without overlap, not only those that cuts straight through a tile leave.

CP-SAT with NoOverlap2D finds the most valuable one, or proves that there is none. A relaxation
comes first: whatever the layout, weights of dual feasible functions do not exceed those of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from afmc.passes.packing.bounds import Weights
from afmc.passes.packing.demand import Counts
from afmc.passes.packing.guillotine import sums
from afmc.passes.packing.layouts import Layout, Seat
from afmc.passes.packing.solver import solve

_MOST_BLOCKS = 80  # on a tile
_MOST_WEIGHTS = 50  # that a model is to respect, the heaviest
_MOST_CANDIDATES = 5_000  # combinations of counts that are looked at to list all layouts


@dataclass(frozen=True)
class Best:
    layout: Layout
    """Empty where none was found in time."""
    bound: int
    """No layout is worth more."""
    spent_s: float


@dataclass(frozen=True, eq=False)
class AnyLayout:
    shapes: Counts
    most: Counts
    """[types], the most blocks of each that a tile can hold."""
    tile: tuple[int, int]
    weights: Sequence[Weights]

    @property
    def too_many(self) -> bool:
        """Whether models with a variable for each block would be of no use."""
        return int(self.most.sum()) > _MOST_BLOCKS

    def most_valuable(self, values: list[int], time_limit_s: float, worth: int) -> Best:
        """The most valuable layout, if any is worth more than `worth`."""
        relaxed = cp_model.CpModel()
        counts = self._counts(relaxed)
        relaxed.maximize(cp_model.LinearExpr.weighted_sum(counts, values))
        loose = solve(relaxed, time_limit_s)
        bound = int(loose.bound)
        if bound <= worth or loose.spent_s >= time_limit_s:
            return Best((), bound, loose.spent_s)
        model = cp_model.CpModel()
        counts = self._counts(model)
        total = cp_model.LinearExpr.weighted_sum(counts, values)
        model.add(total <= bound)
        model.add(total > worth)
        model.maximize(total)
        seats = self._seats(model, counts)
        found = solve(model, time_limit_s - loose.spent_s)
        spent = loose.spent_s + found.spent_s
        if not found.found:
            return Best((), worth if found.proven else bound, spent)
        return Best(_read(found.solver, seats), min(bound, int(found.bound)), spent)

    def holding(self, counts: Counts, time_limit_s: float) -> tuple[Layout | None, bool, float]:
        """A layout of exactly these blocks, whether it is certain that there is none, the time."""
        if any(np.dot(counts, each.by_type) > each.of_a_tile for each in self.weights):
            return None, True, 0.0
        model = cp_model.CpModel()
        seats = self._seats(model, [model.new_constant(count) for count in counts.tolist()])
        found = solve(model, time_limit_s)
        if found.found:
            return _read(found.solver, seats), False, found.spent_s
        return None, found.proven, found.spent_s

    def _counts(self, model: cp_model.CpModel) -> list[cp_model.IntVar]:
        counts = [model.new_int_var(0, limit, "") for limit in self.most.tolist()]
        for each in self.weights[:_MOST_WEIGHTS]:
            blocks = cp_model.LinearExpr.weighted_sum(counts, list(each.by_type))
            model.add(blocks <= each.of_a_tile)
        return counts

    def _seats(self, model: cp_model.CpModel, counts: Sequence[cp_model.IntVar]) -> list[_Place]:
        """A place for each block that there may be, of each type the first `counts` on the tile."""
        places = []
        rows, cols = (sums(self.shapes[:, k], self.most, self.tile[k])[-1] for k in (0, 1))
        for of_type, (height, width) in enumerate(self.shapes.tolist()):
            before: _Place | None = None
            on_tile = []
            for _ in range(int(self.most[of_type])):
                place = _Place(
                    of_type,
                    model.new_bool_var(""),
                    _variable(model, rows, self.tile[0] - height),
                    _variable(model, cols, self.tile[1] - width),
                )
                if before is not None:  # equal blocks in one order
                    model.add_implication(place.present, before.present)
                    after = place.row * self.tile[1] + place.col
                    model.add(after > before.row * self.tile[1] + before.col).only_enforce_if(
                        place.present
                    )
                places.append(place)
                on_tile.append(place.present)
                before = place
            model.add(cp_model.LinearExpr.sum(on_tile) == counts[of_type])
        size = self.shapes.tolist()
        model.add_no_overlap_2d(
            [
                model.new_optional_fixed_size_interval_var(p.row, size[p.of_type][0], p.present, "")
                for p in places
            ],
            [
                model.new_optional_fixed_size_interval_var(p.col, size[p.of_type][1], p.present, "")
                for p in places
            ],
        )
        return places


@dataclass(frozen=True)
class _Place:
    of_type: int
    present: cp_model.IntVar
    row: cp_model.IntVar
    col: cp_model.IntVar


def _variable(model: cp_model.CpModel, places: Counts, last: int) -> cp_model.IntVar:
    """Blocks pushed up and left end where others do, so that no other place is needed."""
    domain = cp_model.Domain.from_values(places[places <= last].tolist())
    return model.new_int_var_from_domain(domain, "")


def _read(solver: cp_model.CpSolver, places: list[_Place]) -> Layout:
    return tuple(
        Seat(place.of_type, solver.value(place.row), solver.value(place.col))
        for place in places
        if solver.value(place.present)
    )


def list_maximal(
    everything: AnyLayout, known: Sequence[tuple[int, ...]], time_limit_s: float
) -> list[Layout] | None:
    """What is missing for every layout to be within one of a list; None where it would be too long.

    `known` are counts that fit a tile.
    """
    fits = _Fits(everything, known, time_limit_s)
    types = len(everything.shapes)
    one_more = np.eye(types, dtype=np.int64)
    missing: list[Layout] = []
    waiting = [(0, np.zeros(types, np.int64))]
    for _ in range(_MOST_CANDIDATES):
        if not waiting:
            return missing
        index, counts = waiting.pop()
        if index < types:
            for count in range(int(everything.most[index]) + 1):
                more = counts + count * one_more[index]
                if not fits(more):
                    break
                waiting.append((index + 1, more))
        elif not any(fits(counts + one) for one in one_more):
            missing += fits.new(counts)
        if fits.unknown:
            return None
    return None


class _Fits:
    """Whether blocks fit a tile. Fewer of what fits do, more of what does not do not."""

    def __init__(
        self, everything: AnyLayout, known: Sequence[tuple[int, ...]], time_limit_s: float
    ) -> None:
        self._everything, self._left_s = everything, time_limit_s
        self._fit = np.asarray(known, np.int64).reshape(-1, len(everything.shapes))
        self._do_not = self._fit[:0]
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self.unknown = False
        """Whether CP-SAT once had no answer in its time."""

    def __call__(self, counts: Counts) -> bool:
        if (counts > self._everything.most).any() or (counts >= self._do_not).all(axis=1).any():
            return False
        if (counts <= self._fit).all(axis=1).any() or self.unknown:
            return True
        layout, impossible, spent_s = self._everything.holding(counts, self._left_s)
        self._left_s -= spent_s
        if layout is not None:
            self._fit = np.vstack([self._fit, counts])
            self._layouts[tuple(counts.tolist())] = layout
            return True
        self._do_not = np.vstack([self._do_not, counts])
        self.unknown = not impossible
        return False

    def new(self, counts: Counts) -> list[Layout]:
        """The layout of these blocks, if it was not known before."""
        layout = self._layouts.get(tuple(counts.tolist()))
        return [] if layout is None else [layout]
