"""What a toolchain is told of the product with a matrix on tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from afmc.program.model import Matrix, largest_over
from afmc.program.program import Group, Program, Table
from afmc.targets import Target

Fact = str | int | Sequence[int] | Sequence[float]


def facts_of(matrix: Matrix, program: Program, target: Target) -> dict[str, Fact]:
    """By name of the attribute. What is not so, or not known, is left out.

    The names are part of the format, as the README has them.
    """
    number, group = _group_of(matrix, program)
    column = _first_column(matrix, group, program)
    blocks = program.blocks[_holds(matrix, number, column, program.blocks)]
    placed = program.placements
    placed = placed[_holds(matrix, number, column, program.blocks[placed["block"]])]
    first = blocks[(blocks["copy"] == 0) & (blocks["replica"] == 0)]
    slices = np.unique(first[["row", "rows"]])
    facts: dict[str, Fact] = {
        "matrix": matrix.name,
        "rows": matrix.rows,
        "cols": matrix.cols,
        "group": group.name,
        "first_column": column,
        "row_slices": slices["rows"].tolist(),
        "blocks": len(blocks),
        "crossbars": len(np.unique(placed[["chip", "tile", "tier"]])),
    }
    if matrix.copies > 1:
        facts["experts"] = matrix.copies
    if target.needs_input_range and matrix.input_range is not None:
        each = matrix.slice_ranges or (matrix.input_range,)
        facts["input_ranges"] = [
            largest_over(each, matrix.rows, row, row + rows) for row, rows in slices.tolist()
        ]
    for name, bits in (("input_bits", target.input.bits), ("output_bits", target.output.bits)):
        if bits is not None:
            facts[name] = bits
    return facts


def _group_of(matrix: Matrix, program: Program) -> tuple[int, Group]:
    return next(
        (number, group)
        for number, group in enumerate(program.groups)
        if matrix.name in group.members
    )


def _first_column(matrix: Matrix, group: Group, program: Program) -> int:
    """Where its columns begin in those of the group, side by side."""
    before = group.members[: group.members.index(matrix.name)]
    return sum(program.matrix(member).cols for member in before)


def _holds(matrix: Matrix, number: int, column: int, blocks: Table) -> NDArray[np.bool_]:
    """Which blocks hold a column of the matrix; one may hold columns of several."""
    first, last = blocks["col"], blocks["col"] + blocks["cols"]
    mine = blocks["group"] == number
    return np.asarray(mine & (first < column + matrix.cols) & (column < last))
