"""How many reads one after the other the blocks of a tile take when all are wanted at once.

Blocks that share a row driver or a column line take turns, all others are read together: the
fewest turns are the fewest colours of the graph of conflicts. Blocks on one line all conflict, so
their number is a lower bound; DSATUR (Brelaz 1979) gives an upper one.
"""

from __future__ import annotations

from functools import lru_cache

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from afmc.passes.demand import Counts
from afmc.passes.layouts import Layout

_EXACT = 12  # blocks up to which the fewest turns are searched for where the two bounds differ

Box = tuple[int, int, int, int]


def turns_of(layout: Layout, shapes: Counts) -> int:
    """The fewest turns for up to a dozen blocks, and what greedy colouring takes beyond."""
    return _turns(tuple((s.row, s.col, *shapes[s.type].tolist()) for s in layout))


@lru_cache(maxsize=100_000)
def _turns(boxes: tuple[Box, ...]) -> int:
    row, col, rows, cols = np.asarray(boxes, np.int64).reshape(-1, 4).T
    conflicts = _meet(row, rows) | _meet(col, cols)
    np.fill_diagonal(conflicts, False)
    on_a_line = max(_deepest(row, rows), _deepest(col, cols))
    colours = nx.greedy_color(nx.from_numpy_array(conflicts), "DSATUR")
    fewest = max(colours.values(), default=-1) + 1
    while fewest > on_a_line and len(boxes) <= _EXACT and _colourable(conflicts, fewest - 1):
        fewest -= 1
    return fewest


def _meet(start: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs share a line."""
    before = start[:, None] < (start + size)[None, :]
    meet: NDArray[np.bool_] = before & before.T
    return meet


def _deepest(start: NDArray[np.int64], size: NDArray[np.int64]) -> int:
    """The most blocks on one line."""
    on = (start[:, None] <= start[None, :]) & (start[None, :] < (start + size)[:, None])
    return int(on.sum(axis=0).max(initial=0))


def _colourable(conflicts: NDArray[np.bool_], colours: int) -> bool:
    """Whether so many colours are enough, by trying; a new colour is only ever the next one."""
    neighbours = [np.flatnonzero(row).tolist() for row in conflicts]
    order = sorted(range(len(neighbours)), key=lambda node: -len(neighbours[node]))
    colour = [-1] * len(neighbours)

    def rest(index: int, used: int) -> bool:
        if index == len(order):
            return True
        node = order[index]
        taken = {colour[other] for other in neighbours[node]}
        for candidate in range(min(used + 1, colours)):
            if candidate not in taken:
                colour[node] = candidate
                if rest(index + 1, max(used, candidate + 1)):
                    return True
        colour[node] = -1
        return False

    return rest(0, 0)
