"""The mapping as a table: a row for each block, with its matrix and where it is."""

from __future__ import annotations

from typing import Any

from afmc.common.json_schema import text, whole
from afmc.export.tables.table import Codes, Table, rows_schema
from afmc.program.program import Program

MAPPING = "mapping"
MATRIX = "matrix"
COLUMNS = (
    text(
        MATRIX,
        "The matrix that the block is a part of: the parameter's name, or that of a group of "
        "matrices that were merged side by side, 'a.{q_proj,k_proj}.weight'.",
    ),
    whole("copy", "The expert, of a bank of experts; else 0."),
    whole("replica", "Which of several placements of the same weights; 0 is the first."),
    whole("matrix_row", "First row (input) of the block in the matrix."),
    whole(
        "matrix_col",
        "First column (output) of the block in the matrix; of a merged one, in the columns of all "
        "members side by side.",
    ),
    whole("rows", "Rows of the block."),
    whole("cols", "Columns of the block."),
    whole("chip", "The chip that it is on."),
    whole("tile", "The tile of that chip."),
    whole("tier", "The tier of that tile; 0 where tiles are not stacked."),
    whole(
        "row",
        "First row of the block on the crossbar, in the order in which the crossbar is filled: "
        "ascending without dead rows, or as program.json says.",
    ),
    whole("col", "First column of the block on the crossbar, in the order likewise."),
)
_OF_BLOCK = {"matrix_row": "row", "matrix_col": "col"}
_OF_PLACE = ("chip", "tile", "tier", "row", "col")
_NUMBERS = tuple(column.name for column in COLUMNS if column.name != MATRIX)


def mapping(program: Program) -> Table:
    """In the order of `Program.placements`."""
    blocks, places = program.blocks, program.placements
    values: dict[str, Any] = {MATRIX: [group.name for group in program.groups]}
    for name in _NUMBERS:
        column = places[name] if name in _OF_PLACE else blocks[_OF_BLOCK.get(name, name)]
        values[name] = range(int(column.max(initial=0)) + 1)

    def codes(rows: slice) -> Codes:
        placed = places[rows]
        block = blocks[placed["block"]]
        return {
            MATRIX: block["group"],
            **{
                name: placed[name] if name in _OF_PLACE else block[_OF_BLOCK.get(name, name)]
                for name in _NUMBERS
            },
        }

    return Table(MAPPING, "block", COLUMNS, values, len(places), codes)


def mapping_schema() -> dict[str, Any]:
    return rows_schema(
        "afmc mapping",
        "Where every block of a compiled model is. Lines of .jsonl and rows of .csv and .parquet "
        "files are blocks, with the same columns in this order.",
        "block",
        "A rectangle of a matrix that one crossbar holds, and where it is. Everything counts from "
        "0.",
        COLUMNS,
    )
