"""JSON Schemas from tables of fields: each with its name, its meaning, its type and its unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Field:
    name: str
    meaning: str
    kind: Mapping[str, Any]
    """The schema of a value."""
    unit: str = ""
    unknown: bool = False
    """Whether a value may be null, where it is not known or there is none."""

    def to_json(self) -> dict[str, Any]:
        found = {**self.kind, "description": self.meaning}
        if self.unit:
            found["unit"] = self.unit
        if not self.unknown:
            return found
        if "type" in self.kind and "enum" not in self.kind:
            return {**found, "type": [self.kind["type"], "null"]}
        return {"anyOf": [dict(self.kind), {"type": "null"}], "description": self.meaning}


def text(name: str, meaning: str, *, unknown: bool = False) -> Field:
    return Field(name, meaning, {"type": "string"}, unknown=unknown)


def truth(name: str, meaning: str) -> Field:
    return Field(name, meaning, {"type": "boolean"})


def whole(name: str, meaning: str, unit: str = "", *, unknown: bool = False) -> Field:
    """A count, 0 or more."""
    return Field(name, meaning, {"type": "integer", "minimum": 0}, unit, unknown)


def number(name: str, meaning: str, unit: str = "", *, unknown: bool = False) -> Field:
    return Field(name, meaning, {"type": "number"}, unit, unknown)


def choice(name: str, meaning: str, words: Sequence[str], *, unknown: bool = False) -> Field:
    return Field(name, meaning, {"type": "string", "enum": list(words)}, unknown=unknown)


def version(number: int) -> Field:
    return Field("schema_version", "Of what this describes.", {"const": number})


def of(name: str, meaning: str, fields: Iterable[Field], *, unknown: bool = False) -> Field:
    """An object with these fields."""
    return Field(name, meaning, record(fields), unknown=unknown)


def several(name: str, meaning: str, items: Iterable[Field] | Mapping[str, Any]) -> Field:
    """A list: of objects with these fields, or of what a schema describes."""
    each = dict(items) if isinstance(items, Mapping) else record(items)
    return Field(name, meaning, {"type": "array", "items": each})


def by_name(name: str, meaning: str, values: Mapping[str, Any]) -> Field:
    """An object whose keys are names; a schema describes its values."""
    return Field(name, meaning, {"type": "object", "additionalProperties": dict(values)})


def record(fields: Iterable[Field], meaning: str = "") -> dict[str, Any]:
    """An object with all of these fields and no others."""
    properties = {field.name: field.to_json() for field in fields}
    return {
        "type": "object",
        **({"description": meaning} if meaning else {}),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def document(title: str, meaning: str, kinds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A schema of what may be one of several things, each under its name in ``$defs``."""
    return {
        "$schema": DIALECT,
        "title": title,
        "description": meaning,
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": {name: dict(kind) for name, kind in kinds.items()},
    }
