"""The JSON Schema of hardware descriptions, for editors and validators."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from pydantic import BaseModel

from afmc.targets import schema, tables
from afmc.targets.schema import Baseline, Change, Description, Mode, Target
from afmc.targets.tables import Origin, Table
from afmc.targets.units import unit_of


def json_schema() -> dict[str, Any]:
    """JSON Schema of analog targets and digital baselines, with a description for every key (the
    sentence under its field in `schema.py` or `tables.py`) and its unit where it has one."""
    # pydantic can do this by itself, but then reads its sources at every start of the program.
    kinds = (Target, Baseline)
    schemas = {kind: _of(kind) for kind in kinds}
    definitions: dict[str, Any] = {}
    for each in schemas.values():
        definitions |= each.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "afmc target",
        "oneOf": [schemas[kind] for kind in kinds],
        "$defs": definitions,
    }


def _of(kind: type[Description]) -> dict[str, Any]:
    described = _sentences()
    result = kind.model_json_schema()
    models: list[type[BaseModel]] = [kind, Origin, *kind.tables().values()]
    if kind is Target:
        models += [Mode, Change]
    for model in models:
        properties = (result if model is kind else result["$defs"][model.__name__])["properties"]
        for base in reversed(model.__mro__):
            for key, sentence in described.get(base.__name__, {}).items():
                properties[key]["description"] = sentence
        if issubclass(model, Table):
            for key in model.keys():
                if unit := unit_of(key):
                    properties[key]["unit"] = unit
    for key in ("overrides", "mode"):
        result["properties"].pop(key, None)
    if kind is Target:  # no other names than those of the pattern
        result["properties"]["modes"]["additionalProperties"] = False
    return result


def _sentences() -> dict[str, dict[str, str]]:
    """Class -> field -> the string literal that follows it."""
    found: dict[str, dict[str, str]] = {}
    for module in (schema, tables):
        for node in ast.parse(inspect.getsource(module)).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for field, below in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(below, ast.Expr)
                    and isinstance(below.value, ast.Constant)
                ):
                    text = inspect.cleandoc(str(below.value.value)).replace("\n", " ")
                    found.setdefault(node.name, {})[field.target.id] = text
    return found
