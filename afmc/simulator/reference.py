"""The numerics of a tile, slow and obvious: one block after the other.

For every block: the input converter, the product on the columns, the output converter; partial sums
add up digitally. Tested against the mathematics; the batched path is tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from afmc.simulator.converters import convert_input, convert_output
from afmc.simulator.tiles import Piece, Programmed
from afmc.targets import Target


def multiply(
    x: Tensor,
    programmed: Programmed,
    pieces: Sequence[Piece],
    target: Target,
    input_range: float | None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """x [tokens, rows] times what the tiles hold, [tokens, cols], computed in `dtype`.

    Source: section 1 of the AIHWKIT-Lightning user guide; Büchel et al., NeurIPS 2025, eq. 1-2.
    """
    x = x.to(dtype)
    y = torch.zeros(x.shape[0], programmed.weight.shape[0], dtype=dtype)
    for piece in pieces:
        rows = slice(piece.row, piece.row + piece.rows)
        cols = slice(piece.col, piece.col + piece.cols)
        driven = x[:, rows]
        if target.input.steps is not None:
            assert input_range is not None
            driven = convert_input(driven, input_range, target.input.steps)
        current = driven @ programmed.weight[cols, rows].to(dtype).T
        if target.output.steps is not None:
            assert input_range is not None and target.output.bound is not None
            which = programmed.slices.index((piece.row, piece.row + piece.rows))
            w_max = programmed.w_max[which, cols].to(dtype)
            full_scale = input_range * target.output.bound * w_max
            current = convert_output(current, full_scale, target.output.steps)
        y[:, cols] += current
    return y
