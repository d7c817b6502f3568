"""How far the weights of a column are cut, by what the devices then do with all others.

A column's largest weight has full conductance. Noise that is a share of full conductance is so much
smaller as the largest weight is; what is cut off is an error too. Both are measured on devices.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from afmc.simulator.beforehand import made_up_for
from afmc.simulator.devices.base import device_of
from afmc.simulator.prepare import Preparation, Rotate
from afmc.simulator.tile_linear import pieces_of
from afmc.simulator.tiles import program
from afmc.targets import Target

LIMITS = (None, 4.0, 3.5, 3.0, 2.75, 2.5, 2.25, 2.0)
"""Limits that are tried, in root mean squares of a column; None: nothing is cut."""

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
    errors: dict[float | None, float] = {}
    for limit in LIMITS:
        held = Preparation(rotate, limit).weights(some)
        written = program(
            held,
            pieces,
            target,
            device,
            seed=seed,
            instance=DESIGN_CHIP,
            written=made_up_for(held, pieces, target),
        )
        errors[limit] = (float((written.weight - wanted).square().sum()) / whole) ** 0.5
    return min(errors, key=lambda each: errors[each]), errors
