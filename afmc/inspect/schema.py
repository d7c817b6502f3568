"""JSON Schema of what `afmc inspect DIR --json` prints: a summary, or a closer look."""

from __future__ import annotations

from typing import Any, get_args

from afmc.common.json_schema import (
    by_name,
    choice,
    document,
    number,
    of,
    record,
    several,
    text,
    truth,
    version,
    whole,
)
from afmc.fit import Rule
from afmc.inspect.views_schema import layer_schema, tile_schema, why_schema
from afmc.program.program import SCHEMA_VERSION, Objective, Pace, RepairMethod, SolverStatus

_NUMBERS = {"type": "number"}
_WORDS = {"type": "string"}
_ANY: dict[str, Any] = {}

LEVER = (
    text("change", "As one would type it."),
    whole("tiles", "That it would take."),
    whole("chips", "That it would take."),
    text("needs", "What the hardware would have to be able to do besides; empty: nothing."),
    number("macs_lost", "Share of the multiply-accumulates of all matrices that goes digital."),
)
_LIMIT = (
    choice("of", "What there is only so much of.", ("chips", "crossbars", "cells")),
    whole("demand", "Of the mapping."),
    whole("supply", "Of the system."),
    whole("left", "Of the supply."),
)
_WAITS = (
    text("source", "Where the tokens are from."),
    whole("tokens", "Held out from the placement."),
    number("reads", "Of one tile for a bank and a token, the longest wait, summed over stages.",
           "reads"),
    number("bound", "No placement onto the same chips has less.", "reads"),
    number("in_order", "Of crossbars filled one after the other.", "reads"),
    number("at_random", "Of crossbars filled at random.", "reads"),
)  # fmt: skip
_PLACING = (
    text("strategy", "Of the pass place."),
    whole("chips", "That hold the tiles, the fewest."),
    number("border_bytes", "Across the borders of chips for a token.", "bytes"),
    number("reads", "Of tiles one after the other for a token.", "reads"),
    number("reads_bound", "That no placement could undercut.", "reads"),
    number("load", "Of the busiest tile for a token.", "reads"),
    number("load_bound", "That no placement could undercut.", "reads"),
    number("byte_hops", "Bytes of a token times the links that they pass; null without a network.",
           "bytes", unknown=True),
    number("byte_hops_bound", "That no placement could undercut.", "bytes", unknown=True),
    of("experts", "The longest wait for experts; null without banks of them.", _WAITS,
       unknown=True),
)  # fmt: skip
_REPLICATION = (
    choice("objective", "What replicas save.", get_args(Pace)),
    whole("tokens", "That run through at once."),
    whole("budget", "Crossbars, one for each block."),
    whole("crossbars", "Of these used."),
    whole("turns", "With replicas."),
    whole("turns_alone", "Without them."),
    whole("lower_bound", "No choice within the budget takes fewer turns."),
    choice("status", "Of the proof.", get_args(SolverStatus)),
    whole("replicas", "Blocks that are there again."),
    whole("replicas_waiting", "Of these, on a tile with another of the same weights."),
    text("gain", "In words."),
)
_ROUTING = (
    text("source", "Where the tokens are from."),
    whole("tokens", "Whose experts are known."),
    whole("modules", "Banks of experts."),
    number("most_popular_share", "Of the uses of its bank."),
    number("least_popular_share", "Of the uses of its bank."),
    number("even_share", "Were all equally popular."),
)
_REPAIR = (
    several("methods", "That were used.", {"enum": list(get_args(RepairMethod))}),
    text("inputs", "The text on which the size of each input was measured; empty: all alike."),
    whole("devices", "Stuck, under weights."),
    number("error_without", "Squared error of products that stuck cells cause, as a share of their "
           "square, without repair."),
    number("error", "The same with repair."),
)  # fmt: skip
_DEFECTS = (
    text("map", "What is broken, by name."),
    whole("dead_crossbars", "On the chips used."),
    whole("crossbars_with_dead_lines", "On the chips used."),
    whole("crossbars_with_dead_lines_used", "Of these, with blocks on them."),
    whole("crossbars_spare", "Neither dead nor used."),
    of("repair", "Of stuck cells; null where nothing was done.", _REPAIR, unknown=True),
)
_PASS = (
    text("name", "Of the pass."),
    by_name("options", "All of them, defaults included.", _ANY),
)
_REMAINDER = (
    text("operation", "Of the graph."),
    whole("count", "How often."),
    whole("weights", "That it holds."),
    text("reason", "Why it is not on tiles."),
)
_SCOPES = ("column", "tile")
_TRAINING = (
    text("source", "What says so."),
    number("input_steps", "Across the input converters' range; null: perfect.", unknown=True),
    number("output_steps", "Across the output converters' range; null: perfect.", unknown=True),
    number("output_bound", "Full scale of outputs, in input range x largest weight.", unknown=True),
    choice("output_range", "Over what the largest weight is taken.", _SCOPES),
    choice("ranges", "Of inputs.", ("static", "dynamic", "none")),
    whole("max_rows", "Of a row slice; null: matrices were not cut.", unknown=True),
    choice("clip", "What weights were clipped by.", ("none", "matrix", "column", "learned")),
    number("clip_sigma", "Standard deviations.", unknown=True),
    number("weight_noise", "Standard deviation while training, of the largest weight."),
    choice("weight_noise_of", "Over what the largest weight is taken.", _SCOPES),
    number("weight_steps", "Of quantised weights; null: not quantised.", unknown=True),
    choice("weight_steps_of", "Over what the largest weight is taken.", _SCOPES),
    number("output_noise", "Standard deviation while training, in input range x largest weight."),
)  # fmt: skip
_INSPECT = (
    version(SCHEMA_VERSION),
    text("model", "As it was named."),
    text("architecture", "The class of the model."),
    text("model_sha256", "Of the weights; of the configuration where only shapes were read."),
    truth("shapes_only", "Whether no weights were read."),
    text("target", "The hardware, by its name."),
    of("training", "The hardware that the model was trained for; null where it does not say.",
       _TRAINING, unknown=True),
    several("notes", "How the target differs from that, in sentences.", {"type": "string"}),
    by_name("target_overrides", "Figures of the target that were set, by key.", _ANY),
    whole("matrices_analog", "Matrices on tiles."),
    whole("matrices_digital", "Matrices that stay digital."),
    whole("weights_analog", "Weights on tiles."),
    whole("weights_digital", "Weights elsewhere, those on both sides included."),
    whole("weights_on_both_sides", "Tied: on tiles, and read as a look-up."),
    whole("weights_not_lowered", "Of products that could go to tiles one day."),
    number("macs_per_token", "Of all matrices.", "multiply-accumulates"),
    number("macs_analog_fraction", "Share of these on tiles."),
    whole("blocks", "Rectangles of matrices that one crossbar holds."),
    whole("tiles_used", "Crossbars with a block; a tier of a stacked tile is one."),
    whole("tiles_lower_bound", "The largest of the bounds: no allocation under this rule has "
          "fewer tiles."),
    by_name("bounds", "Every bound that was computed, by its name.", {"type": "integer"}),
    number("gap", "(tiles - bound) / tiles."),
    choice("solver_status", "OPTIMAL where the bound is reached.", get_args(SolverStatus)),
    choice("rule", "By which blocks share tiles.", get_args(Rule)),
    choice("objective", "Of merging, cutting and packing.", get_args(Objective), unknown=True),
    whole("turns", "Reads one after the other, on the tile with most, if all its blocks are "
          "wanted."),
    number("mean_turns", "The same, mean over the tiles."),
    text("bound_is_over", "All layouts that the bound holds for."),
    whole("chips_used", "Chips up to the last that holds a block."),
    several("limits", "Of the system; empty where it sets none.", _LIMIT),
    of("placing", "What the placement achieved; null where blocks were moved since.", _PLACING,
       unknown=True),
    number("utilization", "Share of the cells of the tiles used that hold weights."),
    of("replication", "What replicas save; null without them.", _REPLICATION, unknown=True),
    of("routing", "How evenly experts are used; null where that is not known.", _ROUTING,
       unknown=True),
    of("defects", "What is broken; null where nothing is.", _DEFECTS, unknown=True),
    whole("blocks_moved", "Since an earlier compile that was kept; null without one.",
          unknown=True),
    several("levers", "Changes that take fewer tiles, each checked.", LEVER),
    number("wall_s", "To compile, measured.", "s"),
    number("peak_rss_mb", "Largest resident memory while compiling, measured.", "MB"),
    by_name("stages_s", "Of each stage, in seconds, measured.", _NUMBERS),
    several("passes", "In the order in which they ran.", _PASS),
    by_name("digital", "Of each matrix that stays digital, why.", _WORDS),
    several("remainder", "Operations of the graph that are not on tiles.", _REMAINDER),
)  # fmt: skip


def inspect_schema() -> dict[str, Any]:
    """Of ``afmc inspect DIR --json``, alone and with each of its questions."""
    summary = record(
        _INSPECT,
        "What afmc inspect DIR --json prints, and afmc compile --json of a model that fits. All "
        "but the seconds and megabytes is derived, and equal on every machine.",
    )
    return document(
        "afmc inspect",
        "What afmc inspect DIR prints with --json, without a question and with each.",
        {
            "inspect": summary,
            "layer": layer_schema(),
            "tile": tile_schema(),
            "why": why_schema(),
        },
    )
