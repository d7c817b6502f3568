"""What a toolchain is told of the product with a matrix on tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afmc.program.compiled import CompiledProgram
from afmc.program.layout import sorted_set
from afmc.program.model import Matrix, largest_over

Fact = str | int | Sequence[int] | Sequence[float]


def facts_of(matrix: Matrix, compiled: CompiledProgram) -> dict[str, Fact]:
    """By name of the attribute. What is not so, or not known, is left out.

    The names are part of the format, as the README has them.
    """
    layout, target = compiled.layout, compiled.target
    parts = layout.of(matrix.name)
    first = parts[(parts["copy"] == 0) & (parts["replica"] == 0)]
    slices = np.unique(first[["row", "rows"]])
    facts: dict[str, Fact] = {
        "matrix": matrix.name,
        "rows": matrix.rows,
        "cols": matrix.cols,
        "group": compiled.program.groups[layout.group_of[matrix.name]].name,
        "first_column": layout.first_column[matrix.name],
        "row_slices": slices["rows"].tolist(),
        "blocks": len(parts),
        "crossbars": len(sorted_set(layout.crossbar_of(parts))),
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
