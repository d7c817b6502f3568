"""Where to cut a chain of crossbars into chips: exactly, by a dynamic programme.

The number of chips is given, so the free crossbars are too: a cut can be at only so many places,
and the programme looks at each of them once. Its time and memory grow with the number of crossbars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from afmc.program.flow import Real, Whole


def cut_chain(cost: Real, sizes: Whole) -> tuple[Whole, float]:
    """Cuts, [chips + 1], from 0 to the end, and what all of them cost together.

    `cost[p]` is that of a cut before crossbar p, `sizes` how many crossbars each chip has. The sum
    of the costs is the least there is; among equal ones each cut is the nearest to an even share.
    """
    total, chips = len(cost) - 1, len(sizes)
    free = int(sizes.sum()) - total
    assert free >= 0
    behind = np.concatenate([[0], np.cumsum(sizes)])
    start = behind - free  # where the k-th cut is at the earliest; `start + free` at the latest
    best = np.empty((chips + 1, free + 1))
    for place in range(free + 1):
        cut = start + place
        possible = (cut >= 0) & (cut <= total)
        best[:, place] = np.where(possible, cost[np.clip(cut, 0, total)], np.inf)
    best[[0, -1]] = np.inf
    best[0, free] = best[-1, 0] = 0.0  # both ends are free
    for k, size in enumerate(sizes.tolist(), 1):
        best[k] += _least_within(best[k - 1], size)
    cuts = np.zeros(chips + 1, np.int64)
    cuts[chips], at = total, 0  # the last cut is at the end, which is the earliest place for it
    even = (total * behind / behind[chips] - start).tolist()
    for k in range(chips - 1, 0, -1):
        at += _nearest(best[k, at : at + int(sizes[k]) + 1], even[k] - at)
        cuts[k] = start[k] + at
    return cuts, float(best[chips, 0])


def _nearest(choices: Real, wanted: float) -> int:
    """The nearest to a place of the least ones, the first of two."""
    least = choices.min()
    middle = min(max(round(wanted), 0), len(choices) - 1)
    if choices[middle] == least:  # as nearly always, and then there is nothing to search
        if middle and wanted <= middle - 0.5 and choices[middle - 1] == least:
            return middle - 1
        return middle
    ties = np.flatnonzero(choices == least)
    return int(ties[np.abs(ties - wanted).argmin()])


def _least_within(values: Real, size: int) -> NDArray[np.float64]:
    """The least of `values[j : j + size + 1]` for each j: a chip holds `size` at most."""
    if size + 1 >= len(values):
        return np.asarray(np.minimum.accumulate(values[::-1])[::-1])
    padded = np.append(values, np.full(size, np.inf))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, size + 1).min(axis=1))
