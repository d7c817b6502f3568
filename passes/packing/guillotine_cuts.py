"""Guillotine layouts with a limited number of blocks of each type, by counting cuts.

How often plates of each size are cut, and where, is one integer each, whatever the number of tiles
(Silva, Alvelos and Valerio de Carvalho 2010; Furini, Malaguti and Thomopulos 2016): CP-SAT fills
one tile best, or the fewest tiles with what rounding a linear programme left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ortools.sat.python import cp_model

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.guillotine import Raster
from afmc.passes.packing.layouts import Layout, Seat
from afmc.passes.packing.solver import Solution, solve

_LARGEST = 6_000  # cuts that a model may have to decide about

Plate = tuple[int, int]
"""Its last row and its last column in the raster."""


@dataclass(frozen=True)
class Cut:
    """What becomes of a plate: parts, each with its row and column offset, or a block of a type."""

    plate: Plate
    parts: tuple[tuple[Plate, int, int], ...] = ()
    of_type: int | None = None


@dataclass(frozen=True)
class Filled:
    layouts: tuple[Layout, ...]
    """Empty where CP-SAT found nothing in its time."""
    bound: float
    """On the value of the one tile, or on the number of tiles."""
    spent_s: float


class Plates:
    """All ways to cut a tile."""

    def __init__(self, raster: Raster, shapes: Counts) -> None:
        self._types = len(shapes)
        self._whole = (len(raster.rows) - 1, len(raster.cols) - 1)
        self._cuts = list(islice(_cuts(raster, shapes, self._whole), _LARGEST + 1))
        self._raster = raster

    @property
    def too_many(self) -> bool:
        return len(self._cuts) > _LARGEST

    def fill(self, most: Counts, values: list[int], time_limit_s: float) -> Filled:
        """The most valuable layout of one tile with at most so many blocks of each type."""
        model = cp_model.CpModel()
        times, seated = self._flow(model, tiles=model.new_constant(1), most=1)
        for blocks, limit in zip(seated, most.tolist(), strict=True):
            model.add(blocks <= limit)
        model.maximize(sum(blocks * value for blocks, value in zip(seated, values, strict=True)))
        found = solve(model, time_limit_s)
        return Filled(tuple(self._layouts(found, times, 1)), found.bound, found.spent_s)

    def cover(self, demand: Counts, least: int, most: int, time_limit_s: float) -> Filled:
        """Between `least` and `most` tiles, as few as can be, that hold so many of each type."""
        model = cp_model.CpModel()
        tiles = model.new_int_var(least, most, "tiles")
        times, seated = self._flow(model, tiles, most)
        for blocks, needed in zip(seated, demand.tolist(), strict=True):
            model.add(blocks == needed)
        model.minimize(tiles)
        found = solve(model, time_limit_s)
        layouts = self._layouts(found, times, found.objective)
        return Filled(tuple(layouts), found.bound, found.spent_s)

    def _flow(
        self, model: cp_model.CpModel, tiles: cp_model.IntVar, most: int
    ) -> tuple[list[cp_model.IntVar], list[cp_model.LinearExpr]]:
        """How often each cut is made, never on more plates than there are, and the blocks seated.

        `most` is the largest number of tiles.
        """
        rows, cols = self._raster.rows.tolist(), self._raster.cols.tolist()
        balance: dict[Plate, list[cp_model.LinearExpr]] = {self._whole: [tiles]}
        seated: list[list[cp_model.IntVar]] = [[] for _ in range(self._types)]
        times = []
        for cut in self._cuts:
            row, col = cut.plate
            fit = (rows[-1] // rows[row]) * (cols[-1] // cols[col])
            variable = model.new_int_var(0, most * fit, "")
            times.append(variable)
            balance.setdefault(cut.plate, []).append(-variable)
            for plate, _, _ in cut.parts:
                balance.setdefault(plate, []).append(variable)
            if cut.of_type is not None:
                seated[cut.of_type].append(variable)
        for terms in balance.values():
            model.add(cp_model.LinearExpr.sum(terms) >= 0)
        return times, [cp_model.LinearExpr.sum(variables) for variables in seated]

    def _layouts(
        self, found: Solution, times: list[cp_model.IntVar], tiles: int
    ) -> Iterator[Layout]:
        """Tile after tile from the counts: plates of one size are alike."""
        if not found.found:
            return
        left: dict[Plate, list[list[int]]] = {}
        for index, count in enumerate(found.values(times).tolist()):
            if count:
                left.setdefault(self._cuts[index].plate, []).append([index, count])
        for _ in range(tiles):
            seats = []
            plates = [(self._whole, 0, 0)]
            while plates:
                plate, row, col = plates.pop()
                if not left.get(plate):
                    continue  # waste
                entry = left[plate][-1]
                entry[1] -= 1
                if not entry[1]:
                    left[plate].pop()
                cut = self._cuts[entry[0]]
                if cut.of_type is not None:
                    seats.append(Seat(cut.of_type, row, col))
                plates += [(part, row + down, col + right) for part, down, right in cut.parts]
            yield tuple(seats)


def _cuts(raster: Raster, shapes: Counts, whole: Plate) -> Iterator[Cut]:
    """Every cut of every plate that comes of cutting the whole."""
    of_size: dict[Plate, list[int]] = {}
    for of_type, (rows, cols) in enumerate(shapes.tolist()):
        of_size.setdefault((raster.row(rows), raster.col(cols)), []).append(of_type)
    smallest = (min(row for row, _ in of_size), min(col for _, col in of_size))
    seen, waiting = {whole}, [whole]
    while waiting:
        plate = waiting.pop()
        row, col = plate
        cuts = [Cut(plate, of_type=of_type) for of_type in of_size.get(plate, ())]
        for first, rest in raster.across[row].tolist():
            below = int(raster.rows[first])
            cuts.append(Cut(plate, (((first, col), 0, 0), ((rest, col), below, 0))))
        for first, rest in raster.down[col].tolist():
            beside = int(raster.cols[first])
            cuts.append(Cut(plate, (((row, first), 0, 0), ((row, rest), 0, beside))))
        cuts.append(Cut(plate, (((row - 1, col), 0, 0),)))
        cuts.append(Cut(plate, (((row, col - 1), 0, 0),)))
        for cut in cuts:
            kept = tuple(
                part
                for part in cut.parts
                if part[0][0] >= smallest[0] and part[0][1] >= smallest[1]
            )
            if not kept and cut.of_type is None:
                continue
            yield Cut(plate, kept, cut.of_type)
            for part, _, _ in kept:
                if part not in seen:
                    seen.add(part)
                    waiting.append(part)
