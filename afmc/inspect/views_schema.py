"""JSON Schemas of the closer looks: `afmc inspect DIR --layer`, `--tile` and `--why`."""

from __future__ import annotations

from typing import Any

from afmc.common.json_schema import choice, number, of, record, several, text, truth, version, whole
from afmc.program.program import SCHEMA_VERSION

_WHOLE = {"type": "integer", "minimum": 0}
_SIDES = ("analog", "digital")
_COMMON = (
    version(SCHEMA_VERSION),
    text("model", "As it was named."),
    text("target", "The hardware, by its name."),
)
_PART = (
    text("matrix", "The parameter's name."),
    whole("block", "Its place in the table of blocks."),
    whole("copy", "The expert, of a bank of experts; else 0."),
    whole("replica", "Which of several placements of the same weights."),
    whole("row", "First row of the part in the matrix."),
    whole("col", "First column of the part in the matrix."),
    whole("rows", "Of the part."),
    whole("cols", "Of the part."),
)
_AT = (
    whole("at_row", "First row on the crossbar, in the order in which it is filled."),
    whole("at_col", "First column on the crossbar, in the order in which it is filled."),
)
_ADDRESS = (
    whole("chip", "That it is on."),
    whole("tile", "Of that chip."),
    whole("tier", "Of that tile."),
)
_MATRIX = (
    text("name", "The parameter's name."),
    text("module", "That it belongs to."),
    whole("rows", "Inputs."),
    whole("cols", "Outputs."),
    whole("copies", "Experts of a bank; else 1."),
    number("per_token", "How often it is used for a token."),
    number("input_range", "Half the width of the input converters' range, in units of the "
           "activation.", unknown=True),
    several("slice_ranges", "The same for so many pieces of the rows; empty where one holds for "
            "all.", {"type": "number"}),
    choice("side", "Where it is computed.", _SIDES),
    text("reason", "Why it is digital; null where it is not.", unknown=True),
    of("full_scale", "Shares of its values by size, above full scale first, each octave below, and "
       "the rest; null where the weights are not known.", (
           several("weights", "Against full conductance.", {"type": "number"}),
           several("inputs", "Against the converters' range; empty where not seen.",
                   {"type": "number"}),
       ), unknown=True),
)  # fmt: skip
_MAPPED = (
    text("group", "Of the matrices that were merged side by side, or of itself."),
    several("merged_with", "The others of its group.", {"type": "string"}),
    several("columns_in_group", "Its first column, and that after its last.", _WHOLE),
    text("cut_into", "The pieces of its rows and of its columns."),
    whole("blocks", "That hold a part of it."),
    several("replicas", "Placements of the weights of each copy.", _WHOLE),
    whole("crossbars", "With a part of it."),
    whole("chips", "With a part of it."),
    number("utilization", "Share of the cells of these crossbars that its weights are on."),
)
_CHIP = (
    whole("chip", "The chip."),
    whole("blocks", "On it."),
    whole("crossbars", "With such a block."),
    whole("first_tile", "With such a block."),
    whole("last_tile", "With such a block."),
)
_NEIGHBOURS = (
    text("matrices", "Of one kind, their numbers replaced by *."),
    whole("blocks", "Of theirs on these crossbars."),
    whole("crossbars", "That they are on, of these."),
)
_BROKEN = (
    truth("dead", "Whether nothing of the crossbar may be used."),
    several("dead_rows", "Of which nothing may be used.", _WHOLE),
    several("dead_columns", "Of which nothing may be used.", _WHOLE),
    whole("stuck_devices", "That stay at one state."),
    whole("devices", "In all."),
)
_ORDER = (
    several("rows", "Physical rows, in the order in which they are filled.", _WHOLE),
    several("columns", "Physical columns, in the order in which they are filled.", _WHOLE),
)
_CROSSBAR = (
    whole("tier", "Of the tile."),
    whole("rows", "Of the crossbar, in weights."),
    whole("columns", "Of the crossbar, in weights."),
    number("utilization", "Share of its cells that hold weights."),
    several("blocks", "On it.", (text("letter", "In the picture."), *_PART, *_AT)),
    of("defects", "What the map says of it; null without a map.", _BROKEN, unknown=True),
    of("order", "Of its lines; null where it is ascending.", _ORDER, unknown=True),
)
_REASON = (text("about", "What is explained."), text("sentence", "Why it is so."))
_EXPLAINED = (
    several("matrices", "With the same reasons.", {"type": "string"}),
    choice("side", "Where they are computed.", _SIDES),
    several("reasons", "In the order of the passes.", _REASON),
)


def layer_schema() -> dict[str, Any]:
    either = {"oneOf": [record(_MATRIX, "Digital."), record((*_MATRIX, *_MAPPED), "On tiles.")]}
    return record(
        (
            *_COMMON,
            text("layer", "The name that was asked for."),
            several("matrices", "Of that name.", either),
            whole("blocks_total", "That hold a part of them."),
            several("blocks", "The parts, the first of very many.", (*_PART, *_ADDRESS, *_AT)),
            several("chips", "With a part of them.", _CHIP),
            several("shares_tiles_with", "Other matrices on the same crossbars.", _NEIGHBOURS),
        ),
        "What afmc inspect DIR --layer NAME --json prints.",
    )


def tile_schema() -> dict[str, Any]:
    return record(
        (
            *_COMMON,
            whole("chip", "That was asked for."),
            whole("tile", "That was asked for."),
            whole("tiers", "Of every tile of the target."),
            several("crossbars", "The tier that was asked for, or those with blocks.", _CROSSBAR),
        ),
        "What afmc inspect DIR --tile CHIP/TILE[/TIER] --json prints.",
    )


def why_schema() -> dict[str, Any]:
    return record(
        (
            *_COMMON,
            text("why", "The name that was asked for."),
            several("explained", "Matrices with their reasons.", _EXPLAINED),
        ),
        "What afmc inspect DIR --why NAME --json prints.",
    )
