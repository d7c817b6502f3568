"""The JSON Schema of target files, for editors and validators."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from pydantic import BaseModel

from afmc.targets import schema
from afmc.targets.schema import Origin, Target


def json_schema() -> dict[str, Any]:
    """With a description for every key: the sentence under its field in `schema.py`."""
    # pydantic can do this by itself, but then reads its sources at every start of the program.
    described = _sentences()
    result = Target.model_json_schema()
    models: list[type[BaseModel]] = [Target, Origin, *Target.tables().values()]
    for model in models:
        properties = (result if model is Target else result["$defs"][model.__name__])["properties"]
        for base in reversed(model.__mro__):
            for key, sentence in described.get(base.__name__, {}).items():
                properties[key]["description"] = sentence
    del result["properties"]["overrides"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **result,
        "title": "afmc target",
    }


def _sentences() -> dict[str, dict[str, str]]:
    """Class -> field -> the string literal that follows it."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if isinstance(node, ast.ClassDef):
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
