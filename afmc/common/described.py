"""Dataclasses whose fields carry a sentence and a unit, as plain data and as JSON Schema."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from afmc.common.json_schema import Field, record

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number"},
    Any: {},
}


def described(meaning: str, unit: str = "", **more: Any) -> Any:
    """A field of a dataclass with a sentence about it; `more` is for `dataclasses.field`."""
    return field(metadata={"meaning": meaning, "unit": unit}, **more)


def fields_of(kind: type) -> tuple[Field, ...]:
    """What a JSON Schema says of a dataclass whose fields are all described."""
    hints = get_type_hints(kind)
    return tuple(_field(each.name, hints[each.name], each.metadata) for each in fields(kind))


def descriptions_of(kind: type) -> dict[str, str]:
    """The text under each field of a dataclass, in one line; empty where there is no source."""
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except OSError:
        return {}
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries and tuples as lists, all the way down."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return list(map(plain, value)) if isinstance(value, (tuple, list)) else value


def _field(name: str, hint: Any, metadata: Mapping[str, Any]) -> Field:
    unknown = False
    if get_origin(hint) in (Union, types.UnionType):
        [hint] = [each for each in get_args(hint) if each is not type(None)]
        unknown = True
    return Field(name, metadata["meaning"], _kind(hint), metadata.get("unit", ""), unknown)


def _kind(hint: Any) -> dict[str, Any]:
    if is_dataclass(hint):
        return record(fields_of(hint))  # type: ignore[arg-type]  # it is a class
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _kind(arguments[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _kind(arguments[1])}
    return dict(_PLAIN[hint])
