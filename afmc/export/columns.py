"""What a row of the mapping as data says: its columns, as a schema and from a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.ir import Program

AT_ONCE = 1 << 14  # rows that are formatted together, few enough for a cache
MATRIX = "matrix"
COLUMNS = {
    MATRIX: "The matrix that the block is a part of: the parameter's name, or that of a group of "
    "matrices that were merged side by side, 'a.{q_proj,k_proj}.weight'.",
    "copy": "The expert, of a bank of experts; else 0.",
    "replica": "Which of several placements of the same weights; 0 is the first.",
    "matrix_row": "First row (input) of the block in the matrix.",
    "matrix_col": "First column (output) of the block in the matrix; of a merged one, in the "
    "columns of all members side by side.",
    "rows": "Rows of the block.",
    "cols": "Columns of the block.",
    "chip": "The chip that it is on.",
    "tile": "The tile of that chip.",
    "tier": "The tier of that tile; 0 where tiles are not stacked.",
    "row": "First row of the block on the crossbar, in the order in which the crossbar is filled: "
    "ascending without dead rows, or as program.json says.",
    "col": "First column of the block on the crossbar, in the order likewise.",
}
_OF_BLOCK = {"matrix_row": "row", "matrix_col": "col"}
_OF_PLACE = ("chip", "tile", "tier", "row", "col")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows, column by column; that of the matrix counts in `names_of`."""

    columns: dict[str, NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.columns[MATRIX])


def names_of(program: Program) -> list[str]:
    return [group.name for group in program.groups]


def largest(program: Program) -> dict[str, int]:
    """The largest value of each column of numbers."""
    blocks, places = program.blocks, program.placements
    return {
        name: int(
            places[name].max(initial=0)
            if name in _OF_PLACE
            else blocks[_OF_BLOCK.get(name, name)].max(initial=0)
        )
        for name in COLUMNS
        if name != MATRIX
    }


def chunks(program: Program) -> Iterator[Chunk]:
    """A row for each block, in the order of `Program.placements`."""
    for start in range(0, len(program.placements), AT_ONCE):
        places = program.placements[start : start + AT_ONCE]
        blocks = program.blocks[places["block"]]
        columns = {MATRIX: blocks["group"]}
        for name in COLUMNS:
            if name in _OF_PLACE:
                columns[name] = places[name]
            elif name != MATRIX:
                columns[name] = blocks[_OF_BLOCK.get(name, name)]
        yield Chunk(columns)


def json_schema() -> dict[str, Any]:
    """Of a ``.json`` file; a line of a ``.jsonl`` file, and a row of the others, is a block."""
    properties = {
        name: {"type": "string", "description": text}
        if name == MATRIX
        else {"type": "integer", "minimum": 0, "description": text}
        for name, text in COLUMNS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "afmc mapping",
        "description": "Where every block of a compiled model is. Lines of .jsonl and rows of .csv "
        "and .parquet files are blocks, with the same columns in this order.",
        "type": "array",
        "items": {"$ref": "#/$defs/block"},
        "$defs": {
            "block": {
                "type": "object",
                "description": "A rectangle of a matrix that one crossbar holds, and where it is. "
                "Everything counts from 0.",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        },
    }
