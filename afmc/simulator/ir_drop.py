"""What a block's states contribute to its columns, behind the resistance of a target's wires."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from afmc.simulator import wires
from afmc.targets import Target


def behind_wires(
    plus: Tensor, minus: Tensor, target: Target, *, row: int, column: int, temperature_C: float
) -> tuple[Tensor, Tensor]:
    """Both polarities, [cols, rows], of a block whose first cell is at `row`, `column`.

    With offset encoding `minus` is the reference column, [1, rows], which stands just before the
    block's own columns.
    """
    crossbar = target.crossbar
    row_ohm, column_ohm = (
        wires.wire_ohm(ohm or 0.0, temperature_C)
        for ohm in (crossbar.wire_row_ohm, crossbar.wire_column_ohm)
    )
    if not row_ohm and not column_ohm:
        return plus, minus
    active = crossbar.active_rows
    if crossbar.selector == "transistor" and active and plus.shape[1] > active:
        # Each group of rows by itself: the others are disconnected while it is driven.
        parts = [
            behind_wires(
                plus[:, first : first + active],
                minus[:, first : first + active],
                target,
                row=row + first,
                column=column,
                temperature_C=temperature_C,
            )
            for first in range(0, plus.shape[1], active)
        ]
        left_plus, left_minus = zip(*parts, strict=True)
        return torch.cat(left_plus, dim=1), torch.cat(left_minus, dim=1)
    around = wires.Wires(
        crossbar.rows,
        crossbar.columns,
        row_ohm,
        column_ohm,
        both_ends=crossbar.sense == "both_ends",
        idle_uS=target.device.state_min,
        selector=crossbar.selector == "transistor",
    )
    if target.device.encoding == "differential":
        return wires.effective_pair(plus, minus, around, row=row, column=column)
    around = replace(around, columns=crossbar.columns + 1)
    left = wires.effective(torch.cat((minus, plus)), around, row=row, column=column)
    return left[1:], left[:1]
