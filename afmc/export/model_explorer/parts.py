"""The parts of matrices on crossbars as few enough nodes to look at, with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.numbers import percent
from afmc.program.compiled import CompiledProgram
from afmc.program.layout import sorted_set
from afmc.program.model import Matrix
from afmc.program.program import Table
from afmc.targets import Target

MOST = 10_000
"""Nodes, at most, unless there are more matrices."""
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """What a matrix has on one crossbar, or on several that are drawn as one."""

    id: str
    label: str
    namespace: str
    matrix: str
    attributes: Mapping[str, str]
    use: float
    """Mean over its crossbars of the share of cells that hold weights, of whatever matrix."""


@dataclass(frozen=True)
class Parts:
    parts: Sequence[Part]
    rule: str
    """What one of them is, and why, in a sentence."""
    groups: Mapping[str, Mapping[str, str]]
    """Attributes of chips and tiles, by namespace."""
    of_matrix: Mapping[str, Mapping[str, str]]
    use_of_matrix: Mapping[str, float]


def parts_drawn(compiled: CompiledProgram, most: int = MOST) -> Parts:
    """A part of a block each; of more than `most` those of a matrix on one tile together, or on one
    chip, or all of a matrix."""
    program, target, layout = compiled.program, compiled.target, compiled.layout
    table, crossbar = layout.parts, layout.crossbar_of(layout.parts)
    matrix = table["matrix"].astype(np.int64)
    chip = table["chip"].astype(np.int64)
    levels: tuple[tuple[str, str, Numbers], ...] = (
        ("block", "every block is a node", np.arange(len(table))),
        ("tile", "blocks of a matrix on one crossbar are a node", _paired(matrix, crossbar)),
        ("chip", "blocks of a matrix on one chip are a node", _paired(matrix, chip)),
        ("matrix", "all blocks of a matrix are a node", matrix),
    )
    for level, rule, key in levels:  # noqa: B007  # the last one is taken in any case
        _, first, node = np.unique(key, return_index=True, return_inverse=True)
        if len(first) <= most:
            break
    if level != "block":
        rule = f"{rule}, because {len(table):,} are more than {most:,}"
    use = _Use.of(table, crossbar, target)
    figures = _Figures.of(table, crossbar, node, len(first), use)
    parts = [
        Part(
            f"{program.matrices[part['matrix']].name}#{number}",
            _label(program.matrices[part["matrix"]], part, level),
            _namespace(part, level, target),
            program.matrices[part["matrix"]].name,
            {**(_block(part) if level == "block" else {}), **figures.attributes(number)},
            float(figures.use[number]),
        )
        for number, part in enumerate(table[first])
    ]
    of_matrix = _Figures.of(table, crossbar, matrix, len(program.matrices), use)
    chips = np.zeros(len(program.matrices), np.int64)
    np.add.at(chips, sorted_set(_paired(matrix, chip)) // (int(chip.max(initial=0)) + 1), 1)
    return Parts(
        parts,
        rule,
        _groups(table, crossbar, level, use, target),
        {
            each.name: {**of_matrix.attributes(number), "chips": f"{chips[number]:,}"}
            for number, each in enumerate(program.matrices)
            if of_matrix.blocks[number]
        },
        {
            each.name: float(of_matrix.use[number])
            for number, each in enumerate(program.matrices)
            if of_matrix.blocks[number]
        },
    )


def _paired(one: Numbers, other: Numbers) -> Numbers:
    return one * (int(other.max(initial=0)) + 1) + other


@dataclass(frozen=True)
class _Use:
    """Use of every crossbar that holds weights."""

    numbers: Numbers
    share: NDArray[np.float64]

    @classmethod
    def of(cls, table: Table, crossbar: Numbers, target: Target) -> _Use:
        numbers, which = np.unique(crossbar, return_inverse=True)
        cells = table["rows"].astype(np.float64) * table["cols"]
        size = target.crossbar.rows * target.crossbar.columns
        return cls(numbers, np.bincount(which, cells, len(numbers)) / size)

    def at(self, crossbar: Numbers) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.share[np.searchsorted(self.numbers, crossbar)]
        return found


@dataclass(frozen=True)
class _Figures:
    blocks: Numbers
    weights: Numbers
    crossbars: Numbers
    use: NDArray[np.float64]

    @classmethod
    def of(cls, table: Table, crossbar: Numbers, node: Numbers, nodes: int, use: _Use) -> _Figures:
        pairs = sorted_set(_paired(node, crossbar))
        owner, place = np.divmod(pairs, int(crossbar.max(initial=0)) + 1)
        crossbars = np.bincount(owner, minlength=nodes)
        mean = np.bincount(owner, use.at(place), nodes) / np.maximum(crossbars, 1)
        cells = table["rows"].astype(np.int64) * table["cols"]
        weights = np.bincount(node, cells, nodes).astype(np.int64)
        return cls(np.bincount(node, minlength=nodes), weights, crossbars, mean)

    def attributes(self, number: int) -> dict[str, str]:
        return {
            "blocks": f"{self.blocks[number]:,}",
            "weights on tiles": f"{self.weights[number]:,}",
            "crossbars": f"{self.crossbars[number]:,}",
            "cells of these with weights": percent(float(self.use[number])),
        }


def _label(matrix: Matrix, part: Any, level: str) -> str:
    name = matrix.name.removesuffix(".weight").rpartition(".")[2]
    if level != "block":
        return name
    expert = f"[{part['copy']}]" if matrix.copies > 1 else ""
    rows = f"{part['row']}:{part['row'] + part['rows']}"
    return f"{name}{expert} {rows} x {part['col']}:{part['col'] + part['cols']}"


def _namespace(part: Any, level: str, target: Target) -> str:
    if level == "matrix":
        return ""
    chip = f"chip {part['chip']}"
    if level == "chip":
        return chip
    tier = f"/tier {part['tier']}" if target.tile.tiers > 1 else ""
    return f"{chip}/tile {part['tile']}{tier}"


def _block(part: Any) -> dict[str, str]:
    """Where it is in the matrix and on the crossbar."""
    found = {
        "rows of the matrix": f"{part['row']:,} to {part['row'] + part['rows'] - 1:,}",
        "columns of the matrix": f"{part['col']:,} to {part['col'] + part['cols'] - 1:,}",
        "row and column on the crossbar": f"{part['at_row']:,}, {part['at_col']:,}",
    }
    if part["replica"]:
        found["replica"] = f"{part['replica']}"
    return found


def _groups(
    table: Table, crossbar: Numbers, level: str, use: _Use, target: Target
) -> dict[str, dict[str, str]]:
    """Attributes of chips, and of tiles where blocks or tiles are drawn, by namespace."""
    if level == "matrix":
        return {}
    found: dict[str, dict[str, str]] = {}
    by_tile = use.numbers // target.tile.tiers
    tiles, first = np.unique(by_tile, return_index=True)
    chips = tiles // target.chip.tiles
    for chip in np.unique(chips).tolist():
        mine = np.flatnonzero(chips == chip)
        here = use.share[np.isin(by_tile, tiles[mine])]
        found[f"chip {chip}"] = {
            "tiles in use": f"{len(mine):,} of {target.chip.tiles:,}",
            "cells of their crossbars with weights": percent(float(here.mean())),
        }
    if level != "chip":
        shares = np.add.reduceat(use.share, first) / np.diff([*first, len(use.share)])
        for tile, share in zip(tiles.tolist(), shares.tolist(), strict=True):
            chip, number = divmod(tile, target.chip.tiles)
            found[f"chip {chip}/tile {number}"] = {"cells with weights": percent(share)}
    return found
