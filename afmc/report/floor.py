"""The floor plan: what every chip and every tile holds, in little space.

Where all tiles fit into the page, each of them is there. Otherwise chips are cells, of which the
page has the layer that most of the weights are of, the use of cells, and where the parts of each
matrix are; and of chips that hold the same kinds of blocks at the same places one is there tile by
tile, as many as fit. No Python loop runs over blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.program.compiled import CompiledProgram
from afmc.program.program import Program, Table
from afmc.report.names import Kinds, layer_of
from afmc.report.pack import runs, steps
from afmc.targets import Target

TILES = 8_000
"""That are described one by one, at most."""
BLOCKS = 8_000
"""That are described one by one, at most; then the first of each tile, evenly."""
FRAMES = 65_536
"""Places of tiles or chips that are drawn at a time, at most."""
PAIRS = 60_000
"""Most pairs of a tile and a matrix on it."""
NUMBERS = 60_000
"""That describe the chips, at most: where there are more, several chips are one cell."""
RUNS = 16
"""Runs of chips that a matrix is on, at most; then from the first to the last."""

Index = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Floor:
    data: dict[str, Any]
    """For the page's script."""
    note: str
    """What was aggregated, in sentences; empty where nothing was."""


def floor_plan(
    compiled: CompiledProgram,
    kinds: Kinds,
    energy: Mapping[str, float] | None = None,
    error: Mapping[str, float] | None = None,
) -> Floor:
    """`energy` is that of a token by matrix, in nJ, and `error` the relative one of its products,
    where they are known."""
    program, target = compiled.program, compiled.target
    placed = program.placements
    order = np.lexsort([placed[key] for key in ("col", "row", "tier", "tile", "chip")])
    held = _Held(compiled, kinds, placed[order], energy, error)
    same = np.arange(held.chips) if held.whole else _alike(held)
    span, cells = _cells(held, same)
    chosen = _chosen(held, same, span)
    data = {
        "whole": held.whole,
        "span": span,
        "chips": held.chips,
        "tiles": target.chip.tiles,
        "tiers": target.tile.tiers,
        "rows": target.crossbar.rows,
        "columns": target.crossbar.columns,
        "across": _across(target),
        "energy": energy is not None,
        "error": error is not None,
        "layers": held.layer_names,
        "groups": [
            [int(layer), *kinds.packed(group.name)]
            for layer, group in zip(held.layer_of_group, program.groups, strict=True)
        ],
        "cells": cells,
        "on": [] if held.whole else _on(held.chip // span, held.group, len(program.groups)),
        "detail": _detail(held, chosen),
    }
    return Floor(data, _note(held, span, len(chosen), int(same.max(initial=-1)) + 1))


class _Held:
    """The placed blocks in the order of their addresses, and what is derived of them."""

    def __init__(
        self,
        compiled: CompiledProgram,
        kinds: Kinds,
        placed: Table,
        energy: Mapping[str, float] | None,
        error: Mapping[str, float] | None,
    ) -> None:
        program, target = compiled.program, compiled.target
        numbers: dict[str, int] = {}
        self.layer_of_group = np.array(
            [numbers.setdefault(layer_of(g.members[0]), len(numbers)) for g in program.groups],
            np.int64,
        )
        self.layer_names = list(numbers)
        self.kind_of_group = np.array([kinds.of(g.name) for g in program.groups], np.int64)
        self.placed, self.blocks = placed, program.blocks[placed["block"]]
        self.group = self.blocks["group"].astype(np.int64)
        self.weights = self.blocks["rows"].astype(np.int64) * self.blocks["cols"]
        self.energy = self.weights * _density(program, energy)[self.group]
        self.square = self.weights * _squares(program, error)[self.group]
        """Square of the relative error, times the weights that it counts for."""
        self.chip = placed["chip"].astype(np.int64)
        self.chips = compiled.layout.chips
        self.tile = self.chip * target.chip.tiles + placed["tile"]
        new = np.diff(self.tile, prepend=-1) != 0
        self.starts = np.flatnonzero(new)
        """First block of each used tile, in the order of blocks."""
        self.tile_of_block = np.cumsum(new) - 1
        self.crossbar = target.crossbar.rows * target.crossbar.columns * target.tile.tiers
        self.tiles_a_chip = target.chip.tiles
        self.groups = len(program.groups)
        self.pairs = np.unique(self.tile_of_block * self.groups + self.group)
        """Used tile and group."""
        self.whole = (
            len(self.starts) <= TILES
            and self.chips * target.chip.tiles <= FRAMES
            and len(self.pairs) <= PAIRS
        )


def _density(program: Program, energy: Mapping[str, float] | None) -> Real:
    """Energy of a cell by group: that of its matrices, spread evenly over what holds them."""
    held = np.bincount(
        program.blocks["group"],
        weights=program.blocks["rows"].astype(np.float64) * program.blocks["cols"],
        minlength=len(program.groups),
    )
    spent = [sum((energy or {}).get(name, 0.0) for name in g.members) for g in program.groups]
    return np.array(spent, np.float64) / np.maximum(held, 1.0)


def _squares(program: Program, error: Mapping[str, float] | None) -> Real:
    """The squared relative error of the products by group, of merged matrices by their columns."""
    found = []
    for group in program.groups:
        widths = [program.by_name[name].cols for name in group.members]
        squares = [(error or {}).get(name, 0.0) ** 2 for name in group.members]
        found.append(float(np.average(squares, weights=widths)))
    return np.array(found, np.float64)


def _error(squares: Real, weights: Real) -> Index:
    """The root of the mean of squares over weights, in ten-thousandths."""
    return np.rint(1e4 * np.sqrt(squares / np.maximum(weights, 1))).astype(np.int64)


def _sum(place: Index, values: Index | Real, places: int) -> Real:
    return np.bincount(place, weights=values, minlength=places).astype(np.float64)


def _most(place: Index, value: Index, weights: Index, places: int) -> Index:
    """The value that most of the weights of each place have, -1 where there are none."""
    values = int(value.max(initial=0)) + 1
    pairs, where = np.unique(place * values + value, return_inverse=True)
    held = np.bincount(where, weights=weights)
    order = np.lexsort((-held, pairs // values))
    found = np.full(places, -1, np.int64)
    first, at = np.unique(pairs[order] // values, return_index=True)
    found[first] = pairs[order][at] % values
    return found


def _alike(held: _Held) -> Index:
    """A number for each chip, the same for those with the same kinds of blocks at the same places:
    of other layers, experts or parts of a matrix."""
    mixed = np.zeros(len(held.placed), np.uint64)
    columns = [held.kind_of_group[held.group], held.blocks["rows"], held.blocks["cols"]]
    for column in (*columns, *(held.placed[key] for key in ("tile", "tier", "row", "col"))):
        mixed = (mixed ^ (column.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    signature = np.zeros(held.chips, np.uint64)
    np.add.at(signature, held.chip, mixed)
    _, first, same = np.unique(signature, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # in the order in which they come
    return rank[same].astype(np.int64)


def _cells(held: _Held, same: Index) -> tuple[int, dict[str, list[int]]]:
    """How many chips a cell of the page stands for, and its columns: the first chip's layer and
    layout, the mean use in thousandths, the energy, the error."""
    layer = _most(held.chip, held.layer_of_group[held.group], held.weights, held.chips)
    weights = _sum(held.chip, held.weights, held.chips)
    use = weights / (held.crossbar * held.tiles_a_chip)
    energy, square = (_sum(held.chip, each, held.chips) for each in (held.energy, held.square))
    span = max(1, -(-held.chips // FRAMES))
    while True:
        starts = np.arange(0, held.chips, span)
        sizes = np.diff(starts, append=held.chips)
        columns = {
            "layer": runs(layer[starts]),
            "same": runs(same[starts]),
            "use": runs(np.rint(1000 * np.add.reduceat(use, starts) / sizes)),
            "energy": runs(_femtojoules(np.add.reduceat(energy, starts))),
            "error": runs(
                _error(np.add.reduceat(square, starts), np.add.reduceat(weights, starts))
            ),
        }
        if sum(map(len, columns.values())) <= NUMBERS:
            return span, columns
        span *= 2


def _chosen(held: _Held, same: Index, span: int) -> Index:
    """The chips that are there tile by tile: all, or one of each layout, those that most chips
    have first, as many as fit and one at least."""
    if held.whole:
        return np.arange(held.chips)
    layouts, first, often = np.unique(same[::span], return_index=True, return_counts=True)
    chosen = first[np.lexsort((layouts, -often))] * span
    tiles = np.bincount(held.chip[held.starts], minlength=held.chips)[chosen]
    pairs_of_chip = held.chip[held.starts][held.pairs // held.groups]
    pairs = np.bincount(pairs_of_chip, minlength=held.chips)[chosen]
    fits = (np.cumsum(tiles) <= TILES) & (np.cumsum(pairs) <= PAIRS)
    fits[:1] = True
    return np.sort(chosen[fits])


def _detail(held: _Held, chosen: Index) -> dict[str, Any]:
    """Every tile of these chips, and the first blocks of each. Of a single chip that has more
    tiles than fit, the first."""
    wanted = np.zeros(held.chips, np.bool_)
    wanted[chosen] = True
    tiles = np.flatnonzero(wanted[held.chip[held.starts]])[:TILES]
    number = np.full(len(held.starts), -1, np.int64)
    number[tiles] = np.arange(len(tiles))
    mine = np.flatnonzero(number[held.tile_of_block] >= 0)
    tile = number[held.tile_of_block[mine]]
    weights = held.weights[mine]
    counts = np.bincount(tile, minlength=len(tiles))
    use = _sum(tile, weights, len(tiles)) / held.crossbar
    energy, square = (_sum(tile, e[mine], len(tiles)) for e in (held.energy, held.square))
    each = len(mine) if len(mine) <= BLOCKS else max(1, BLOCKS // len(tiles))
    first = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts) < each
    kept = mine[first]
    pairs = held.pairs[number[held.pairs // held.groups] >= 0]
    starts = held.starts[tiles]
    return {
        "chips": steps(chosen),
        "tiles": runs(np.bincount(np.searchsorted(chosen, held.chip[starts]))),
        "tile": steps(held.placed["tile"][starts]),
        "layer": runs(_most(tile, held.layer_of_group[held.group[mine]], weights, len(tiles))),
        "kind": runs(_most(tile, held.kind_of_group[held.group[mine]], weights, len(tiles))),
        "use": runs(np.rint(1000 * use)),
        "energy": runs(_femtojoules(energy)),
        "error": runs(_error(square, _sum(tile, weights, len(tiles)))),
        "blocks": runs(counts),
        "listed": runs(np.minimum(counts, each)),
        "on": runs(np.bincount(number[pairs // held.groups])),
        "groups": steps(pairs % held.groups),
        "block": {
            **{key: steps(held.placed[key][kept]) for key in ("tier", "row", "col")},
            **{
                key: steps(held.blocks[key][kept])
                for key in ("group", "copy", "replica", "rows", "cols")
            },
            "from": steps(held.blocks["row"][kept]),
            "at": steps(held.blocks["col"][kept]),
        },
    }


def _femtojoules(nanojoules: Real) -> Index:
    """To three digits, so that the page stays small."""
    digits = 10.0 ** (np.floor(np.log10(np.maximum(nanojoules, 1e-6))) - 2)
    return np.rint(np.rint(nanojoules / digits) * digits * 1e6).astype(np.int64)


def _on(cell: Index, group: Index, groups: int) -> list[list[int]]:
    """For each group the runs of cells that hold a part of it: first, length, first, length, ..."""
    cells = int(cell.max(initial=0)) + 1
    pairs = np.unique(group * cells + cell)
    ends = np.searchsorted(pairs, np.arange(1, groups) * cells)
    found = []
    for mine in np.split(pairs % cells, ends):
        breaks = np.flatnonzero(np.diff(mine) != 1)
        starts = mine[np.concatenate(([0], breaks + 1))]
        lasts = mine[np.concatenate((breaks, [len(mine) - 1]))]
        if len(starts) > RUNS:
            starts, lasts = starts[:1], lasts[-1:]
        found.append([int(n) for n in np.column_stack((starts, lasts - starts + 1)).ravel()])
    return found


def _across(target: Target) -> int:
    """Tiles beside one another on a chip: of its mesh, or of a square."""
    links = target.links
    if links is not None and links.columns is not None:
        return links.columns
    return int(np.ceil(np.sqrt(target.chip.tiles)))


def _note(held: _Held, span: int, detailed: int, layouts: int) -> str:
    blocks = len(held.placed)
    if held.whole and blocks <= BLOCKS:
        return ""
    if held.whole:
        return (
            f"Aggregated: {blocks:,} blocks are on these tiles; a tile's colour is that of what "
            f"most of its weights are of, and of its blocks the first "
            f"{max(1, BLOCKS // len(held.starts))} are described."
        )
    cell = "A cell is a chip"
    if span > 1:
        cell = (
            f"A cell is {span} chips, one after the other, with the layer and the layout of the "
            "first and the mean use of cells"
        )
    one = "1 chip is" if detailed == 1 else f"{detailed:,} chips are"
    return (
        f"Aggregated: this system has {held.chips:,} chips and {blocks:,} blocks. {cell}; its "
        f"colour is that of the layer that most of its weights are of. The chips have {layouts:,} "
        "different layouts (the same kinds of blocks at the same places, of other layers, experts "
        f"or parts of a matrix); {one} here tile by tile, those whose layout most others have. "
        f"Matrices on more than {RUNS} separate runs of chips are shown from the first to the last."
    )
