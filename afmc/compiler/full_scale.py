"""How weights and inputs make use of full scale: what the hardware has bits and conductance for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from afmc.compiler.activations import Drive, sizes
from afmc.program.layout import layout_of
from afmc.program.model import Matrix, largest_over
from afmc.program.observed import OCTAVES, Distribution
from afmc.program.program import Program
from afmc.simulator.instance import Weights, crossbar_maxima, members_of, pieces_of, side_by_side
from afmc.simulator.tiles import Piece
from afmc.targets import Target

DIGITS = 5
"""After the point, of shares: far below what is of interest."""


def input_ranges(program: Program, target: Target) -> dict[Drive, Tensor]:
    """Half width of the converters' range by what row drivers are set to: [] or [rows], where it
    is known."""
    layout = layout_of(program, target)
    pieces = pieces_of(layout)
    return {
        matrix.drive: _range(matrix, pieces[layout.group_of[matrix.name], 0, 0], target)
        for matrix in program.analog
        if matrix.input_range is not None
    }


def _range(matrix: Matrix, pieces: Sequence[Piece], target: Target) -> Tensor:
    if not matrix.slice_ranges:
        return torch.tensor(matrix.input_range)
    found = torch.empty(matrix.rows)
    for first, last in {each for p in pieces for each in p.slices(target.crossbar.active_rows)}:
        found[first:last] = largest_over(matrix.slice_ranges, matrix.rows, first, last)
    return found


def distributions(
    program: Program, target: Target, weights: Weights, inputs: Mapping[Drive, Tensor]
) -> dict[str, Distribution]:
    """Distribution of every analog matrix, by name; for a bank of experts over all of them.

    `inputs` has, by what row drivers are set to, how many values are of which size, as `sizes`
    counts them. Weights that are there several times count once.
    """
    counts = {matrix.name: torch.zeros(OCTAVES + 2, dtype=torch.long) for matrix in program.analog}
    layout = layout_of(program, target)
    pieces = pieces_of(layout)
    maxima = crossbar_maxima(program, target, weights, pieces)
    for (group, copy, replica), mine in pieces.items():
        if replica:
            continue
        names = members_of(program, group, copy)
        weight = side_by_side([weights[name] for name in names])
        by_column = torch.zeros(len(weight), OCTAVES + 2, dtype=torch.long)
        for piece in mine:
            part = piece.of(weight)
            full = part.abs().amax(dim=1, keepdim=True)
            if target.device.scale == "tile":
                full = full.amax() if maxima is None else full.new_tensor(maxima[piece.crossbar])
            by_column[piece.col : piece.col + piece.cols] += sizes(part, full)
        for member in program.groups[group].members:
            first = layout.first_column[member]
            counts[member] += by_column[first : first + program.matrix(member).cols].sum(dim=0)
    return {
        matrix.name: Distribution(
            _shares(counts[matrix.name]),
            _shares(inputs[matrix.drive]) if matrix.drive in inputs else (),
        )
        for matrix in program.analog
    }


def _shares(counts: Tensor) -> tuple[float, ...]:
    total = max(1, int(counts.sum()))
    return tuple(round(each / total, DIGITS) for each in counts.tolist())
