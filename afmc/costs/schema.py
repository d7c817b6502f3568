"""JSON Schemas of what `afmc costs` prints and writes."""

from __future__ import annotations

from typing import Any, get_args

from afmc.common.json_schema import Field, choice, number, of, record, several, text, version, whole
from afmc.costs.parts import SCHEMA_VERSION, Where
from afmc.costs.schedule import Kind
from afmc.costs.trace import PROCESS
from afmc.costs.workload import PHASES
from afmc.program.model import Unit
from afmc.targets.tables import Basis

TARGET = text("target", "The hardware, by its name.")
WORKLOAD = (
    choice(
        "phase",
        "decode: a token of each sequence. prefill: a prompt of each.",
        PHASES,
    ),
    whole("context", "Tokens that a token attends to, itself included, or of a prompt."),
    whole("batch", "Sequences at once."),
)
PART = (
    text("name", "The kind of event."),
    choice("group", "Where it happens.", get_args(Where)),
    number("energy_nJ", "Of all events of a token; null where nothing is known.", "nJ",
           unknown=True),
    number("latency_ns", "What the critical path of a token spends in it; null where it is not on "
           "it.", "ns", unknown=True),
    number("count", "Events for a token."),
    text("unit", "What is counted."),
    text("figure", "Key of the figure that the energy is computed from, in the target or a "
         "default; its unit is the end of the key. Of converters whose energy is in the products, "
         "the figure of their time.", unknown=True),
    number("value", "Of that figure: the energy of one event, or the power.", unknown=True),
    choice("basis", "Of that figure: measured on this hardware, published of it, derived from "
           "such figures, or assumed.", get_args(Basis), unknown=True),
    text("source", "Of that figure.", unknown=True),
)  # fmt: skip
_STEP = (
    text("name", "A matrix, or work after one."),
    choice("kind", "What is busy.", get_args(Kind)),
    number("start_ns", "Since the token began.", "ns"),
    number("end_ns", "Since the token began.", "ns"),
)
_BUSY = (
    text("name", "Tiles, of which it is the one that is held longest, or another resource."),
    number("ns", "Of a token; where there are several of them, of one.", "ns"),
    number("matrices_ns", "Of that, for matrices that stay digital.", "ns"),
)
_OF_MATRIX = (
    text("name", "The parameter's name."),
    number("energy_nJ", "Of its products for a token.", "nJ"),
    number("latency_ns", "Of one of its products.", "ns"),
)
_EFFICIENCY = (
    number("tile_peak_TOPS_W", "Of a whole crossbar, all of it in use.", "TOPS/W", unknown=True),
    number("tiles_TOPS_W", "Of the products of a token on tiles.", "TOPS/W", unknown=True),
    number("system_TOPS_W", "Of a token, with everything that is counted.", "TOPS/W"),
)
_COMMON = (
    version(SCHEMA_VERSION),
    TARGET,
    of("workload", "What is asked of the hardware.", WORKLOAD),
    number("energy_nJ", "Of a token: the sum of the parts that are known.", "nJ"),
    number("latency_ns", "Of a step: a token of each sequence, or all prompts.", "ns"),
    number("tokens_per_s", "Of all sequences together.", "tokens/s"),
    several("parts", "What a token is made of.", PART),
)
_COSTS = (
    *_COMMON,
    choice("unit", "What everything is of: a token of a language model, or an inference of another "
           "network.", get_args(Unit)),
    number("assumed_nJ", "Of the energy, what rests on figures that are assumed.", "nJ"),
    number("cache_nJ", "Of the energy, what reading and writing keys and values takes.", "nJ"),
    number("token_latency_ns", "Of one token, with nothing else on the chips.", "ns"),
    number("interval_ns", "Between tokens of a stream of independent sequences.", "ns"),
    text("bottleneck", "What is busy all the time then."),
    several("busy", "How long a token holds each resource that is shared, the longest first.",
            _BUSY),
    number("area_mm2", "Of the chips used; null where it is not known.", "mm2", unknown=True),
    of("efficiency", "Operations for each joule, by what is included.", _EFFICIENCY),
    several("matrices", "What the products of each matrix take.", _OF_MATRIX),
    several("critical_path", "Steps of a token, each waiting for the one before.", _STEP),
    several("missing", "Sentences: what is left out because nobody has published it.",
            {"type": "string"}),
)  # fmt: skip
_BASELINE = (*_COMMON, text("boundary", "What is in these figures and what is not."))


def costs_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc costs --json``."""
    return record(
        (
            version(SCHEMA_VERSION),
            several("costs", "One for each workload that was asked for.", _COSTS),
            several("baselines", "Digital hardware under the same workloads.", _BASELINE),
        ),
        "What afmc costs --json prints: all for one token, but latency_ns.",
    )


def trace_schema() -> dict[str, Any]:
    """JSON Schema of ``afmc costs --trace FILE.json``."""
    row = whole("tid", "The row of the viewer.")
    process = Field("pid", "The process of the viewer: the hardware.", {"const": PROCESS})
    step = record(
        (
            Field("ph", "A complete event.", {"const": "X"}),
            text("name", "The step: a matrix, or work after one."),
            choice("cat", "What is busy.", get_args(Kind)),
            number("ts", "When it begins, to a whole nanosecond.", "us"),
            Field("dur", "How long it takes.", {"type": "number", "minimum": 0}, "us"),
            process,
            row,
            of("args", "Not rounded.", (
                number("start_ns", "When it begins.", "ns"),
                number("ns", "How long it takes.", "ns"),
                number("critical_ns", "Of that, what is on the critical path.", "ns"),
            )),
        ),
        "A step of the schedule. Steps of one row do not overlap.",
    )  # fmt: skip
    name = record(
        (
            Field("ph", "Metadata.", {"const": "M"}),
            choice("name", "What is said.", ("process_name", "thread_name", "thread_sort_index")),
            process,
            row,
            Field("args", "The name, or the place among the rows.", {"type": "object"}),
        ),
        "What a row is called and where it is.",
    )
    return record(
        (
            Field("displayTimeUnit", "Of the viewer.", {"const": "ns"}),
            of("otherData", "What this is a trace of.", (
                version(SCHEMA_VERSION), TARGET, of("workload", "What is asked.", WORKLOAD)
            )),
            several("traceEvents", "In the Trace Event Format.", {"oneOf": [name, step]}),
        ),
        "What afmc costs --trace writes: a token, for Perfetto and chrome://tracing.",
    )  # fmt: skip
