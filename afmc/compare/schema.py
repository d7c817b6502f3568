"""JSON Schema of what `afmc compare --json` prints."""

from __future__ import annotations

from typing import Any, get_args

from afmc.common.json_schema import (
    DIALECT,
    Field,
    choice,
    number,
    record,
    several,
    text,
    truth,
    version,
    whole,
)
from afmc.compare.comparison import COST_FIGURES, FIGURES, Models
from afmc.program.program import SCHEMA_VERSION

_VALUES = "One a directory; null where a compile does not have it, or it is not known."
_PLAIN = {"type": ["string", "number", "boolean", "null"]}
_PERPLEXITY = record(
    (
        number("mean", "Over instances; of the digital model, its perplexity."),
        number("std", "Over instances; null for one, and for the digital model.", unknown=True),
        Field("interval_95", "Of the mean, Student's on the logarithm; null for fewer than three.",
              {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
              unknown=True),
        several("values", "One for each instance.", {"type": "number"}),
        whole("instances", "Manufactured chips; null for the digital model.", unknown=True),
    )
)  # fmt: skip


def _rows(name: str, meaning: str, called: Field, value: dict[str, Any]) -> Field:
    values = Field("values", _VALUES, {"type": "array", "items": value})
    return several(name, meaning, (called, values, truth("differs", "Whether they differ.")))


def compare_schema() -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "title": "afmc compare",
        **record(
            (
                version(SCHEMA_VERSION),
                several("directories", "In the order of the values.", {"type": "string"}),
                choice("models", "Whether the weights are, or the matrices alone.",
                       get_args(Models)),
                _rows("figures", "All of them, as in afmc inspect --json.",
                      choice("name", "The figure.", FIGURES), _PLAIN),
                _rows("costs", "Of a token.",
                      text("name", f"The workload, and one of {', '.join(COST_FIGURES)}."),
                      {"type": ["number", "null"]}),
                _rows("parts", "Energy of a token, in nJ.",
                      text("name", "The workload, and the kind of event."),
                      {"type": ["number", "null"]}),
                _rows("accuracy", "Perplexity, or metrics of benchmarks, of the validations that "
                      "were given, measured in simulation.",
                      text("name", "The text, or the task, and the condition."),
                      {"anyOf": [_PERPLEXITY, {"type": "null"}]}),
                _rows("options", "Of passes, those that differ.",
                      text("name", "As --set takes it, PASS.OPTION."), {}),
                _rows("target", "Figures that differ.", text("name", "The key."), {}),
            ),
            "What afmc compare DIR1 DIR2 --json prints.",
        ),
    }  # fmt: skip
