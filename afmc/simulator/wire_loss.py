"""How much of a product a target's wires take, and how well the closed form says so."""

from __future__ import annotations

import torch

from afmc.simulator import nodal, wires
from afmc.targets import Target

_SIDE = 32
"""Rows and columns of weights of the array that is solved exactly."""
MEANT_FOR = 0.35
"""Loss of a cell up to which the closed form is meant."""


def wire_loss(target: Target) -> tuple[float, float] | None:
    """Largest loss of a large cell, and the closed form's error; None without wires.

    The array is smaller than the crossbar and its wires have as much more resistance, so that they
    take about as much. Of rows with selectors only those of one group conduct. The error is the
    root mean square over random inputs, relative to that of the outputs, against the exact solution
    of the network.
    """
    crossbar, device = target.crossbar, target.device
    if not (crossbar.wire_row_ohm or crossbar.wire_column_ohm):
        return None
    rows, columns = min(_SIDE, crossbar.rows), min(_SIDE, crossbar.columns)
    selector = crossbar.selector == "transistor"
    driven = rows
    if selector and crossbar.active_rows:
        driven = -(-rows * crossbar.active_rows // crossbar.rows)
    # The group of rows that loses most: far from the end, or between both.
    first = (rows - driven) // 2 if crossbar.sense == "both_ends" else 0
    pairs = 2 if device.encoding == "differential" else 1
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(columns, driven, generator=generator, dtype=torch.float64)
    weights /= weights.abs().amax()
    span = device.state_max - device.state_min
    if pairs == 2:
        sides = (weights.clamp(min=0), (-weights).clamp(min=0))
        cells = torch.stack(sides, dim=1).flatten(0, 1) * span + device.state_min
    else:
        cells = (weights + 1) / 2 * span + device.state_min
    around = wires.Wires(
        rows,
        columns * pairs,
        (crossbar.wire_row_ohm or 0.0) * (crossbar.columns / columns) ** 2,
        (crossbar.wire_column_ohm or 0.0) * (crossbar.rows / rows) ** 2,
        both_ends=crossbar.sense == "both_ends",
        selector=selector,
    )
    exact = nodal.effective(cells, around, row=first)
    closed = wires.effective(cells, around, row=first)
    large = cells > device.state_min + span / 2
    loss = float((1 - exact / cells)[large].max())
    inputs = torch.randn(driven, 200, generator=generator, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64) if pairs == 2 else torch.ones(1)

    def product(left: torch.Tensor) -> torch.Tensor:
        currents = (left @ inputs).view(columns, pairs, -1)
        return (currents * signs.to(currents.dtype).view(1, -1, 1)).sum(dim=1)

    error = product(closed) - product(exact)
    return loss, float(error.norm() / product(exact).norm())


def far_wires(target: Target) -> tuple[str, ...]:
    """A sentence on wires that take more than the closed form is meant for."""
    found = wire_loss(target)
    if found is None or found[0] <= MEANT_FOR:
        return ()
    loss, error = found
    return (
        f"wires take up to {100 * loss:.2g} % of a large cell's current, but the closed form of IR "
        f"drop is meant for up to {100 * MEANT_FOR:g} %: on a small array it is off by "
        f"{100 * error:.2g} % of a product, so that what is measured here is a guess "
        f"(crossbar.wire_row_ohm, crossbar.wire_column_ohm)",
    )
