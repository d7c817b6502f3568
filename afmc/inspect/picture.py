"""A crossbar drawn with characters: a letter for each block, a dot for cells that hold nothing."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

import numpy as np

WIDTH, HEIGHT = 64, 16  # characters at most

Rectangle = tuple[int, int, int, int]
"""First row and column, rows and columns."""


def letters(count: int) -> list[str]:
    """A letter for each of so many blocks; none where there are more blocks than letters."""
    return list(ascii_letters[:count]) if count <= len(ascii_letters) else [""] * count


def draw(rows: int, columns: int, blocks: Sequence[Rectangle]) -> list[str]:
    """Lines of text; nothing where there are more blocks than letters.

    A character stands for one cell, or for so many of a large crossbar that the picture is at most
    `WIDTH` x `HEIGHT`: then it shows the block at their middle.
    """
    if len(blocks) > len(ascii_letters):
        return []
    down, across = _samples(rows, HEIGHT), _samples(columns, WIDTH)
    grid = np.full((len(down), len(across)), "·")
    for letter, (row, col, height, width) in zip(letters(len(blocks)), blocks, strict=True):
        inside = np.ix_(_between(down, row, height), _between(across, col, width))
        grid[inside] = letter
    edge = "─" * len(across)
    return [f"┌{edge}┐", *(f"│{''.join(line)}│" for line in grid.tolist()), f"└{edge}┘"]


def _samples(length: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The lines that are shown."""
    shown = min(length, most)
    return (2 * np.arange(shown) + 1) * length // (2 * shown)


def _between(
    lines: np.ndarray[tuple[int], np.dtype[np.int64]], first: int, length: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (lines >= first) & (lines < first + length)
