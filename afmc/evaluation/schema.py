"""JSON Schema of what `afmc validate --json` prints, from the types that it is written with."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from afmc.common.json_schema import DIALECT
from afmc.evaluation.results import Classification, Outcome, Result, Validation
from afmc.program.program import SCHEMA_VERSION

_KINDS = ((Validation, Outcome), (Classification, Result))


def validation_schema() -> dict[str, Any]:
    """Either of a language model or of a classifier, each with the first condition at the top."""
    _, made = models_json_schema(
        [(kind, "serialization") for pair in _KINDS for kind in pair], by_alias=True
    )
    definitions = made["$defs"]
    for whole, condition in _KINDS:
        first = definitions[condition.__name__]
        found = definitions[whole.__name__]
        version = {"schema_version": {"const": SCHEMA_VERSION}}
        found["properties"] = {**version, **first["properties"], **found["properties"]}
        found["required"] = list(found["properties"])
        found["additionalProperties"] = False
    return {
        "$schema": DIALECT,
        "title": "afmc validate",
        "oneOf": [{"$ref": f"#/$defs/{whole.__name__}"} for whole, _ in _KINDS],
        "$defs": definitions,
    }
