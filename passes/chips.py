"""Where to cut a chain of crossbars into chips: exactly, by a dynamic programme.

The number of chips is given, so the free crossbars are too: a cut can be at only so many places,
and the programme looks at each of them once. Its time and memory grow with the number of crossbars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from afmc.passes.flow import Real, Whole


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
    place = start[:, None] + np.arange(free + 1)
    here = np.where((place >= 0) & (place <= total), cost[np.clip(place, 0, total)], np.inf)
    here[[0, -1]] = np.where(place[[0, -1]] == [[0], [total]], 0.0, np.inf)  # both ends are free
    best = here.copy()
    for k in range(1, chips + 1):
        best[k] += _least_within(best[k - 1], int(sizes[k - 1]))
    cuts = np.zeros(chips + 1, np.int64)
    cuts[chips], at = total, 0  # the last cut is at the end, which is the earliest place for it
    for k in range(chips, 1, -1):
        choices = best[k - 1, at : at + int(sizes[k - 1]) + 1]
        ties = at + np.flatnonzero(choices == choices.min())
        even = total * behind[k - 1] / behind[chips]
        at = int(ties[np.abs(start[k - 1] + ties - even).argmin()])
        cuts[k - 1] = start[k - 1] + at
    return cuts, float(best[chips, 0])


def _least_within(values: Real, size: int) -> NDArray[np.float64]:
    """The least of `values[j : j + size + 1]` for each j: a chip holds `size` at most."""
    if size + 1 >= len(values):
        return np.asarray(np.minimum.accumulate(values[::-1])[::-1])
    padded = np.append(values, np.full(size, np.inf))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, size + 1).min(axis=1))
