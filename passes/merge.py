"""Matrices that read the same input become one, column after column.

A tile's input converters then drive q, k and v (or gate and up) at once, and fewer partial blocks
are left over. Nothing else changes: every column keeps its own scale and range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from afmc.ir import Group, Matrix, Program
from afmc.targets import Target


@dataclass(frozen=True)
class Merge:
    enabled: bool = True
    """False leaves every matrix by itself."""

    def __call__(self, program: Program, target: Target) -> Program:
        together: dict[tuple[object, ...], list[Matrix]] = {}
        for matrix in program.analog:
            # One row driver has one range, so learned ranges that differ keep matrices apart.
            key = (
                (matrix.input, matrix.rows, matrix.copies, matrix.per_token, matrix.input_range)
                if self.enabled
                else (matrix.name,)
            )
            together.setdefault(key, []).append(matrix)
        groups = tuple(
            Group(
                members=tuple(m.name for m in members),
                rows=members[0].rows,
                cols=sum(m.cols for m in members),
                copies=members[0].copies,
            )
            for members in together.values()
        )
        return replace(program, groups=groups)
