"""Where a matrix is cut: a grid of row cuts and column cuts, each in one of three styles."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Style = Literal["full", "balanced", "halved"]

Styles = tuple[Style, Style]
"""For row cuts and for column cuts."""

StyleOption = Literal["auto", "full", "balanced", "halved"]

STYLES: tuple[Style, ...] = ("full", "balanced", "halved")


def cut(length: int, limit: int, style: Style) -> NDArray[np.int64]:
    """Sizes of the pieces of `length` lines, none over `limit`.

    ``full``: whole crossbars and a remainder. ``balanced``, the rule of AIHWKIT and
    AIHWKIT-Lightning: pieces of nearly equal size, the first ones one longer. Both are as few as
    can be. ``halved``: as full, but a remainder of more than half a crossbar is cut once more, at
    half a crossbar, so that two of these share one.
    """
    pieces = -(-length // limit)
    if style == "balanced":
        size, longer = divmod(length, pieces)
        return np.asarray([size + 1] * longer + [size] * (pieces - longer))
    rest = length - limit * (pieces - 1)
    half = limit // 2
    last = [half, rest - half] if style == "halved" and half < rest < limit and half else [rest]
    return np.asarray([limit] * (pieces - 1) + last)
