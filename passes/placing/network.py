"""Tiles of a chip to positions on its network, so that values travel few links.

A quadratic assignment: bytes a token between two tiles times the links between their positions.
Tabu search over all swaps of two tiles at a time, from the order in which data flows along a snake;
the Gilmore-Lawler bound says what no assignment can undercut. Chips with equal traffic are solved
once.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from afmc.program.flow import Real, Whole
from afmc.targets.tables import Links

TENURE = 8
"""Rounds in which a swap is not undone."""


def distances(links: Links, tiles: int) -> Whole:
    """Links between every two positions, [tiles, tiles]."""
    if links.topology == "bus" or links.columns is None:
        return np.asarray(1 - np.eye(tiles, dtype=np.int64))
    row, col = np.divmod(np.arange(tiles), links.columns)
    return np.asarray(
        np.abs(row[:, None] - row[None, :]) + np.abs(col[:, None] - col[None, :]), np.int64
    )


def snake(links: Links, tiles: int) -> Whole:
    """The positions in an order in which each is beside the next."""
    columns = links.columns or tiles
    row, col = np.divmod(np.arange(tiles), columns)
    along = np.where(row % 2 == 0, col, columns - 1 - col)
    return np.lexsort([along, row])


def placed(between: Real, apart: Whole, start: Whole, rounds: int) -> Whole:
    """The position of each tile, by tabu search from `start`."""
    position, best = start.copy(), start.copy()
    tiles = len(position)
    now = least = byte_hops(between, apart, position)
    forbidden = np.zeros((tiles, tiles), np.int64)  # [tile, position]: until which round
    upper = np.triu_indices(tiles, 1)
    quiet = 0
    for turn in range(1, rounds + 1):
        far = apart[np.ix_(position, position)]
        met = between @ far
        change = met + met.T - np.diag(met)[:, None] - np.diag(met)[None, :] + 2 * between * far
        back = forbidden[np.arange(tiles)[:, None], position[None, :]] > turn
        held = (back & back.T) & (now + change >= least - 1e-9)
        candidates = np.where(held, np.inf, change)[upper]
        pick = int(candidates.argmin()) if len(candidates) else 0
        if not len(candidates) or not np.isfinite(candidates[pick]):
            break
        a, b = int(upper[0][pick]), int(upper[1][pick])
        forbidden[a, position[a]] = forbidden[b, position[b]] = turn + TENURE + turn % 5
        position[[a, b]] = position[[b, a]]
        now += float(change[a, b])
        quiet += 1
        if now < least - 1e-9:
            least, best, quiet = now, position.copy(), 0
        if quiet > 10 * tiles:
            break
    return best


def byte_hops(between: Real, apart: Whole, position: Whole) -> float:
    """Bytes a token times the links that they pass."""
    return float((between * apart[np.ix_(position, position)]).sum() / 2)


def gilmore_lawler(between: Real, apart: Whole) -> float:
    """No assignment has less byte-hops: each tile's largest traffic over its shortest ways."""
    tiles = len(between)
    if tiles < 2:
        return 0.0
    off = ~np.eye(tiles, dtype=np.bool_)
    flows = -np.sort(-between[off].reshape(tiles, tiles - 1), axis=1)
    ways = np.sort(apart[off].reshape(tiles, tiles - 1), axis=1)
    least = flows @ ways.T
    rows, cols = linear_sum_assignment(least)
    return float(least[rows, cols].sum() / 2)
