"""A map of defects on a target: which crossbars are dead, which lines are left, which cells stick.

What a random map says of an address is a pure function of its seed and that address, so that the
mapping and the simulator see the same cells and nothing is listed for the whole system. Each kind
of defect and each chip has a generator of its own, and so has each polarity and device of each
crossbar for cells: another rate for rows changes no dead tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.hardware.defects import ALL, OFF, ON, Defects, Entries, Rates
from afmc.targets import Target

Numbers = NDArray[np.int64]
Crossbar = tuple[int, int, int]
"""Chip, tile, tier."""
States = NDArray[np.int8]
"""[columns, rows] of a crossbar: OFF or ON where a device is stuck, and else WORKS."""
Shape = tuple[int, int, int, int]
"""Shape of a chip: tiles, tiers, rows, columns."""

WORKS = -1
CROSSBAR = np.dtype([("dead", "?"), ("rows", "<i4"), ("cols", "<i4")])
_KINDS = ("chips", "tiles", "tiers", "rows", "columns", "cells")


class DefectMap:
    """What a map says of a target's crossbars."""

    def __init__(self, defects: Defects, target: Target) -> None:
        crossbar = target.crossbar
        self.shape: Shape = (
            target.chip.tiles,
            target.tile.tiers,
            crossbar.rows,
            crossbar.columns,
        )
        self.rates = defects.rates
        dead = defects.dead
        of_lines = (dead["row"] != ALL) | (dead["column"] != ALL)
        self._regions = _Index(dead[~of_lines], self.shape)
        self._lines = _Index(dead[of_lines], self.shape)
        self._stuck = _Index(defects.stuck, self.shape)

    def crossbars(self, chips: Numbers) -> NDArray[np.void]:
        """[chips, tiles, tiers] of `CROSSBAR`: whether dead, and how many lines are left."""
        tiles, tiers, rows, columns = self.shape
        table = np.zeros((len(chips), tiles, tiers), CROSSBAR)
        _, number = self._regions.on(chips)
        table["dead"].reshape(-1)[number] = True
        which, number = self._lines.on(chips)
        entries = self._lines.entries[which]
        by_row = entries["row"] != ALL
        dead = {
            "row": [number[by_row] * rows + entries["row"][by_row]],
            "column": [number[~by_row] * columns + entries["column"][~by_row]],
        }
        if self.rates is not None:
            for index, chip in enumerate(chips.tolist()):
                drawn = _drawn(self.rates, self.shape, chip)
                table["dead"][index] |= drawn.dead
                first = index * tiles * tiers
                dead["row"].append(drawn.rows + first * rows)
                dead["column"].append(drawn.columns + first * columns)
        for key, name, length in (("row", "rows", rows), ("column", "cols", columns)):
            gone = np.unique(np.concatenate(dead[key])) // length
            left = length - np.bincount(gone, minlength=table.size)
            table[name] = left.reshape(table.shape)
        return table

    def live_lines(self, crossbar: Crossbar) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The rows and the columns of a crossbar that are not dead, ascending."""
        _, tiers, rows, columns = self.shape
        here = self._lines.entries[self._lines.at(crossbar)]
        alive = []
        for key, length in (("row", rows), ("column", columns)):
            works = np.ones(length, np.bool_)
            works[here[key][here[key] != ALL]] = False
            alive.append(works)
        if self.rates is not None:
            chip, tile, tier = crossbar
            drawn, number = _drawn(self.rates, self.shape, chip), tile * tiers + tier
            for works, gone in zip(alive, (drawn.rows, drawn.columns), strict=True):
                first = number * len(works)
                start, end = np.searchsorted(gone, (first, first + len(works)))
                works[gone[start:end] - first] = False
        return np.flatnonzero(alive[0]).astype("<i4"), np.flatnonzero(alive[1]).astype("<i4")

    def stuck(self, crossbar: Crossbar, polarity: int, device: int) -> States:
        """The stuck cells among the devices of one number, 0 the most significant, and polarity,
        0 positive and 1 negative."""
        _, _, rows, columns = self.shape
        states: States = np.full((columns, rows), WORKS, np.int8)
        if self.rates is not None and self.rates.cells:
            generator = _generator(self.rates.seed, "cells", *crossbar, polarity, device)
            lot = generator.random((columns, rows), np.float32)
            states[lot < self.rates.cells_off] = OFF
            states[lot >= 1 - self.rates.cells_on] = ON
        here = self._stuck.entries[self._stuck.at(crossbar)]
        here = here[
            np.isin(here["polarity"], (polarity, ALL)) & np.isin(here["device"], (device, ALL))
        ]
        single = (here["row"] != ALL) & (here["column"] != ALL)
        for line in here[~single]:  # whole rows and columns
            row, column = (
                slice(None) if line[key] == ALL else int(line[key]) for key in ("row", "column")
            )
            states[column, row] = line["state"]
        cells = here[single]
        states[cells["column"], cells["row"]] = cells["state"]
        return states

    def entries_at(self, crossbar: Crossbar) -> tuple[Numbers, Entries]:
        """The entries about stuck cells of a crossbar, with their numbers in `Defects.stuck`."""
        numbers = self._stuck.at(crossbar)
        return numbers, self._stuck.entries[numbers]


class _Index:
    """Entries by crossbar; those with a wildcard are about many."""

    def __init__(self, entries: Entries, shape: Shape) -> None:
        self.entries, self._shape = entries, shape
        address = [entries[key].astype(np.int64) for key in ("chip", "tile", "tier")]
        wild = np.any([part == ALL for part in address], axis=0)
        self._wild = np.flatnonzero(wild)
        exact = np.flatnonzero(~wild)
        numbers = self._number(*(part[exact] for part in address))
        order = np.argsort(numbers, kind="stable")
        self._exact, self._numbers = exact[order], numbers[order]

    def _number(self, chip: Any, tile: Any, tier: Any) -> Any:
        tiles, tiers, _, _ = self._shape
        return (chip * tiles + tile) * tiers + tier

    def at(self, crossbar: Crossbar) -> Numbers:
        """Which entries are about a crossbar, in their order."""
        number = self._number(*crossbar)
        start, end = np.searchsorted(self._numbers, (number, number + 1))
        wild = self.entries[self._wild]
        fits = np.ones(len(wild), np.bool_)
        for key, value in zip(("chip", "tile", "tier"), crossbar, strict=True):
            fits &= (wild[key] == ALL) | (wild[key] == value)
        return np.sort(np.concatenate([self._exact[start:end], self._wild[fits]]))

    def on(self, chips: Numbers) -> tuple[Numbers, Numbers]:
        """Every pair of an entry and a crossbar, counted through [chips, tiles, tiers]."""
        tiles, tiers, _, _ = self._shape
        order = np.argsort(chips)
        chip, on_chip = self._numbers // (tiles * tiers), self._numbers % (tiles * tiers)
        place = np.searchsorted(chips, chip, sorter=order)
        there = np.isin(chip, chips)
        which = [self._exact[there]]
        number = [order[place[there]] * tiles * tiers + on_chip[there]]
        every = np.arange(len(chips) * tiles * tiers).reshape(len(chips), tiles, tiers)
        for wild in self._wild.tolist():
            entry = self.entries[wild]
            tile, tier = (
                slice(None) if entry[key] == ALL else int(entry[key]) for key in ("tile", "tier")
            )
            here = slice(None) if entry["chip"] == ALL else chips == entry["chip"]
            number.append(every[here, tile, tier].ravel())
            which.append(np.full(len(number[-1]), wild))
        return np.concatenate(which), np.concatenate(number)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What is dead on one chip by rates."""

    dead: NDArray[np.bool_]
    """[tiles, tiers]"""
    rows: Numbers
    """Sorted: (tile * tiers + tier) * rows + row."""
    columns: Numbers


@lru_cache(maxsize=100_000)
def _drawn(rates: Rates, shape: Shape, chip: int) -> _Drawn:
    tiles, tiers, rows, columns = shape
    dead = np.zeros((tiles, tiers), np.bool_)
    if rates.chips:
        dead |= _generator(rates.seed, "chips", chip).random() < rates.chips
    if rates.tiles:
        dead |= _generator(rates.seed, "tiles", chip).random((tiles, 1)) < rates.tiles
    if rates.tiers:
        dead |= _generator(rates.seed, "tiers", chip).random((tiles, tiers)) < rates.tiers
    return _Drawn(
        dead,
        _some(rates.seed, "rows", chip, tiles * tiers * rows, rates.rows),
        _some(rates.seed, "columns", chip, tiles * tiers * columns, rates.columns),
    )


def _some(seed: int, kind: str, chip: int, count: int, rate: float) -> Numbers:
    """Which of `count` things are dead, each by itself, without drawing for every one of them."""
    if not rate:
        return np.zeros(0, np.int64)
    generator = _generator(seed, kind, chip)
    dead = generator.binomial(count, rate)
    return np.sort(generator.choice(count, dead, replace=False, shuffle=False)).astype(np.int64)


def _generator(seed: int, kind: str, *address: int) -> np.random.Generator:
    key = (_KINDS.index(kind), *address)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
