"""What is known of wires before a chip is programmed is made up for in what is written.

IR drop follows from the conductances: what gives the wanted product behind the wires is found by a
fixed-point iteration on the closed form of `afmc.simulator.wires`, as far as full conductance
allows. What is left for measured corrections is what is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from afmc.hardware.conditions import ROOM_C
from afmc.hardware.defect_map import Crossbar
from afmc.simulator.cells import State, weight_per_state
from afmc.simulator.tiles import Piece, on_wires, scale_of
from afmc.targets import Target

_STEPS = 5
"""Each leaves the share of what is missing that wires lose: 0.5 % of it where these lose 35 %."""


def has_wires(target: Target) -> bool:
    """Whether the target's wires lose anything."""
    return bool(target.crossbar.wire_row_ohm or target.crossbar.wire_column_ohm)


def made_up_for(
    weight: Tensor,
    pieces: Sequence[Piece],
    target: Target,
    crossbar_max: Mapping[Crossbar, float] | None = None,
) -> Tensor:
    """What to write so that `weight`, [cols, rows], comes out behind the wires of its pieces, at 25
    degrees Celsius: weights beyond full conductance are cut."""
    if not has_wires(target):
        return weight
    found = weight.clone()
    for piece in pieces:
        lines = piece.lines
        scale = lines.columns_to_crossbar(scale_of(piece, weight, target, crossbar_max))
        unit = weight_per_state(torch.where(scale > 0, scale, 1.0), target).unsqueeze(1)
        wanted = lines.to_crossbar(piece.of(weight)) / unit
        written = wanted
        for _ in range(_STEPS):
            left = on_wires(_states(written, target), piece, target, ROOM_C)
            written = _possible(written + wanted - (left[0] - left[1]), target)
        piece.of(found).copy_(lines.to_matrix(written * unit))
    return found


def _possible(difference: Tensor, target: Target) -> Tensor:
    """As far as two states can differ."""
    span = target.device.state_max - target.device.state_min
    if target.device.encoding == "offset":
        span /= 2
    return difference.clamp(-span, span)


def _states(difference: Tensor, target: Target) -> tuple[State, State]:
    """Both polarities of a block whose states differ by that, as `afmc.simulator.cells.write`
    writes them."""
    low, high = target.device.state_min, target.device.state_max
    if target.device.encoding == "offset":
        middle = (low + high) / 2
        return State(difference + middle, None), State(
            torch.full_like(difference[:1], middle), None
        )
    plus, minus = difference.clamp(min=0) + low, difference.neg().clamp(min=0) + low
    return State(plus, None), State(minus, None)
