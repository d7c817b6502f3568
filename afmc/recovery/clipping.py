"""How far the weights of a column are cut, by what the devices then do with all others.

A column's largest weight has full conductance. Noise that is a share of full conductance is so much
smaller as the largest weight is; what is cut off is an error too. Both are measured on devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from torch import Tensor

from afmc.simulator.beforehand import made_up_for
from afmc.simulator.devices.base import device_of
from afmc.simulator.prepare import Preparation, Rotate
from afmc.simulator.tile_linear import pieces_of
from afmc.simulator.tiles import program
from afmc.targets import Target

LIMITS = (None, 4.0, 3.5, 3.0, 2.75, 2.5, 2.25, 2.0)
"""Limits that are tried, in root mean squares of a column; None: nothing is cut."""
_USUAL = 2.75
"""Where the search begins."""

_COLUMNS = 96
"""Columns of a matrix, evenly spread, on which the error is measured."""

DESIGN_CHIP = 1 << 30
"""Number of a manufactured instance that is nobody's, on which choices are made."""


def clip_of(
    weight: Tensor, rotate: Rotate | None, target: Target, seed: int
) -> tuple[float | None, Mapping[float | None, float]]:
    """The best limit of a matrix [cols, rows], and the relative error of its weights by limit.

    On devices with their noise and wires, just programmed, on crossbars of its own.
    """
    some = weight[:: max(1, -(-len(weight) // _COLUMNS))]
    wanted = Preparation(rotate).weights(some)
    whole = float(wanted.square().sum())
    if not target.is_random or whole == 0:
        return None, {}
    pieces = pieces_of(some.shape[1], len(some), target, "full")
    device = device_of(target)

    @cache
    def error(number: int) -> float:
        held = Preparation(rotate, LIMITS[number]).weights(some)
        written = program(
            held,
            pieces,
            target,
            device,
            seed=seed,
            instance=DESIGN_CHIP,
            written=made_up_for(held, pieces, target),
        )
        return float((float((written.weight - wanted).square().sum()) / whole) ** 0.5)

    tried = {0, *_down(error, LIMITS.index(_USUAL), len(LIMITS))}
    errors = {LIMITS[number]: error(number) for number in sorted(tried)}
    return min(errors, key=lambda each: errors[each]), errors


def _down(error: Callable[[int], float], start: int, count: int) -> set[int]:
    """Numbers that were tried on the way from `start` to where no neighbour's error is less: noise
    falls and what is cut off rises with a limit, so there is one such place."""
    tried, at = {start}, start
    for step in (1, -1):
        while 0 <= at + step < count:
            tried.add(at + step)
            if error(at + step) >= error(at):
                break
            at += step
    return tried
