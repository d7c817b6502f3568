"""Ways to fill one tile with blocks that share neither a row nor a column.

Blocks of equal shape are one *type*, so a way to fill a tile is a vector of counts, and a language
model has a dozen types however large it is. The tile is a two-dimensional vector-packing bin: the
rows of its blocks add up to at most R, their columns to at most C (facts: Caprara and Toth 2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from afmc.fit import Rule
from afmc.passes.packing.demand import Counts


def capacity(shapes: Counts, tile: tuple[int, int], used: Counts | None = None) -> Counts:
    """How many blocks of each type fit beside `used`. Shapes are [types, 2], rows then columns."""
    free = np.asarray(tile) - (0 if used is None else used @ shapes)
    return np.maximum((free // shapes).min(axis=1), 0)


def fits_with_another(
    shapes: Counts, demand: Counts, tile: tuple[int, int], rule: Rule
) -> NDArray[np.bool_]:
    """Whether a block of a type can share a tile with any other block of the model."""
    pair = shapes[:, None, :] + shapes[None, :, :] <= np.asarray(tile)
    # diagonally, or side by side in one direction
    enough = 2 if rule == "parallel" else 1
    fits: NDArray[np.bool_] = pair.sum(axis=2) >= enough
    fits[np.diag_indices_from(fits)] &= demand > 1
    return np.asarray(np.any(fits, axis=1))


def maximal_patterns(
    shapes: Counts, demand: Counts, tile: tuple[int, int], limit: int
) -> Counts | None:
    """Every pattern to which no further block can be added, [patterns, types].

    Returns None when the search meets more than `limit` candidates.
    """
    types = len(shapes)
    found: list[list[int]] = []
    visited = 0
    stack: list[tuple[int, list[int]]] = [(0, [])]
    while stack:
        index, prefix = stack.pop()
        visited += 1
        if visited > limit:
            return None
        used = np.asarray(prefix + [0] * (types - index), np.int64)
        room = np.minimum(capacity(shapes, tile, used), demand - used)
        if index == types:
            if not room.any():
                found.append(prefix)
            continue
        for count in range(int(room[index]) + 1):
            stack.append((index + 1, [*prefix, count]))
    return np.asarray(sorted(found, reverse=True), np.int64)


def greedy_cover(patterns: Counts, demand: Counts) -> Counts:
    """How often to use each pattern, [patterns]: the one that serves most blocks, again and again.

    Never worse than one block a tile, and the first answer that the solver is given.
    """
    times = np.zeros(len(patterns), np.int64)
    left = demand.copy()
    while left.any():
        served = np.minimum(patterns, left)
        best = int(served.sum(axis=1).argmax())
        whole = served[best] > 0
        # as long as the pattern stays as useful as it is now
        repeat = int((left[whole] // served[best][whole]).min())
        times[best] += repeat
        left = np.maximum(left - repeat * patterns[best], 0)
    return times
