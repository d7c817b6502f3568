"""JSON Schemas of what `afmc validate` and `afmc eval` print, from the types it is written with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from afmc.common.json_schema import DIALECT
from afmc.evaluation.benchmarks.results import Benchmarks, ScoresUnder
from afmc.evaluation.results import Classification, Outcome, Result, Shape, Validation
from afmc.program.program import SCHEMA_VERSION

_KINDS = ((Validation, Outcome), (Classification, Result))


def validation_schema() -> dict[str, Any]:
    """Either of a language model or of a classifier, each with the first condition at the top."""
    return _schema("afmc validate", _KINDS)


def benchmarks_schema() -> dict[str, Any]:
    """Scores of tasks, with the first condition at the top."""
    return _schema("afmc eval", ((Benchmarks, ScoresUnder),))


def _schema(title: str, kinds: Sequence[tuple[type[Shape], type[Shape]]]) -> dict[str, Any]:
    _, made = models_json_schema(
        [(kind, "serialization") for pair in kinds for kind in pair], by_alias=True
    )
    definitions = made["$defs"]
    for whole, condition in kinds:
        first = definitions[condition.__name__]
        found = definitions[whole.__name__]
        version = {"schema_version": {"const": SCHEMA_VERSION}}
        found["properties"] = {**version, **first["properties"], **found["properties"]}
        found["required"] = list(found["properties"])
        found["additionalProperties"] = False
    return {
        "$schema": DIALECT,
        "title": title,
        "oneOf": [{"$ref": f"#/$defs/{whole.__name__}"} for whole, _ in kinds],
        "$defs": definitions,
    }
