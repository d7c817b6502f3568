"""Where a matrix is cut: a grid of row cuts and column cuts, each in one of three styles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afmc.errors import OptionError
from afmc.program.model import even_pieces
from afmc.program.program import BLOCK, Group
from afmc.targets import Target

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
        return np.asarray(even_pieces(length, pieces))
    rest = length - limit * (pieces - 1)
    half = limit // 2
    last = [half, rest - half] if style == "halved" and half < rest < limit and half else [rest]
    return np.asarray([limit] * (pieces - 1) + last)


def check_count(model: str, groups: Iterable[Group], target: Target) -> None:
    """Raises OptionError for more blocks, cut into the fewest, than the tables have numbers for."""
    height, width = target.crossbar.rows, target.crossbar.columns
    least = sum(
        group.copies * -(-group.rows // height) * -(-group.cols // width) for group in groups
    )
    most = int(np.iinfo(BLOCK["group"]).max)
    if least > most:
        raise OptionError(
            f"{model} is cut into at least {least:,} blocks of {height} x {width}, but a program "
            f"counts no more than {most:,}: take a target with larger crossbars."
        )
