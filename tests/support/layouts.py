"""Packing by brute force, slow and obvious, for a dozen small blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeVar

import numpy as np

from afmc.program.program import Program

Block = TypeVar("Block")

Size = tuple[int, int]
"""Rows and columns."""


def fits_without_overlap(blocks: tuple[Size, ...], tile: Size) -> bool:
    """Whether there is any layout of the blocks on one tile; a tile is the bits of an integer."""
    order = sorted(blocks, reverse=True)
    if sum(rows * cols for rows, cols in order) > tile[0] * tile[1]:
        return False

    @cache
    def rest_fits(index: int, used: int) -> bool:
        if index == len(order):
            return True
        rows, cols = order[index]
        line = (1 << cols) - 1
        whole = sum(line << row * tile[1] for row in range(rows))
        return any(
            not used & (mine := whole << (row * tile[1] + col))
            and rest_fits(index + 1, used | mine)
            for row in range(tile[0] - rows + 1)
            for col in range(tile[1] - cols + 1)
        )

    return rest_fits(0, 0)


def fewest_tiles(blocks: Iterable[Block], fits: Callable[[tuple[Block, ...]], bool]) -> int:
    """By trying every way to part the blocks; whoever fits with others fits with fewer."""
    order = sorted(blocks, key=repr, reverse=True)
    known: dict[tuple[Block, ...], bool] = {}
    best = len(order)

    def place(index: int, bins: list[tuple[Block, ...]]) -> None:
        nonlocal best
        if len(bins) >= best:
            return
        if index == len(order):
            best = len(bins)
            return
        for i, already in enumerate(bins):
            together = tuple(sorted((*already, order[index]), key=repr))
            if together not in known:
                known[together] = fits(together)
            if known[together]:
                place(index + 1, [*bins[:i], together, *bins[i + 1 :]])
        place(index + 1, [*bins, (order[index],)])

    place(0, [])
    return best


def cells_held(program: Program, tile: Size) -> np.ndarray[tuple[int, int, int], np.dtype[np.int8]]:
    """[tiles, rows, columns], by how many blocks each cell is held."""
    cells = np.zeros((int(program.allocations["tile"].max()) + 1, *tile), np.int8)
    for block, tile_, row, col in program.allocations.tolist():
        rows, cols = program.blocks["rows"][block], program.blocks["cols"][block]
        assert row >= 0 and col >= 0 and row + rows <= tile[0] and col + cols <= tile[1]
        cells[tile_, row : row + rows, col : col + cols] += 1
    return cells
