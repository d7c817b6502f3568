"""What pydantic found wrong with a target, as one sentence for the person who can mend it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from afmc.errors import did_you_mean
from afmc.targets.schema import Target

# By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/
_WISHES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "dict_type": "a table",
    "model_type": "a table",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "literal_error": "{expected}",
}

_PATTERNS = {
    "noise": "must look like 'package.module:Class'",
    "name": "must be made of letters, digits, '.', '_' and '-', and begin with a letter or digit",
}


def first_problem(error: ValidationError, file: str, overrides: Collection[str]) -> str:
    """The first problem, where it is, and how many more there are.

    An unknown key comes before a missing one: it is often the missing one, misspelt.
    """
    problems = [each for each in error.errors() if each["loc"][:1] != ("overrides",)]
    problems.sort(key=lambda each: each["type"] != "extra_forbidden")
    sentence = _sentence(problems[0], file, overrides)
    if len(problems) == 1:
        return sentence
    more = len(problems) - 1
    return f"{sentence} (And {more} more {'problem' if more == 1 else 'problems'}.)"


def _sentence(problem: ErrorDetails, file: str, overrides: Collection[str]) -> str:
    loc, context = problem["loc"], problem.get("ctx", {})
    key = ".".join(map(str, loc))
    where = f"{key}, set by the user," if key in overrides else f"{file}:{key}" if key else file
    found = f"but is {_spell(problem['input'])}."
    match problem["type"]:
        case "missing":
            return f"{where} is missing."
        case "extra_forbidden":
            return f"{where} is not a known key." + did_you_mean(str(loc[-1]), _keys(loc[:-1]))
        case "bound_missing":
            return f"{where}.bound is missing: a converter of {context['bits']} bits needs one."
        case "origin_unknown":
            name, known = context["key"], context["known"]
            return f"{where}.origin.{name} is not a figure of [{key}]." + did_you_mean(name, known)
        case "origin_unset":
            name = context["key"]
            return f"{where}.origin.{name} is the origin of a figure that [{key}] does not give."
        case "string_pattern_mismatch":
            return f"{where} {_PATTERNS[str(loc[-1])]}, {found}"
        case "string_too_short":
            return f"{where} must not be empty."
        case kind if kind in _WISHES:
            return f"{where} must be {_WISHES[kind].format(**context)}, {found}"
        case _:
            return f"{where} {problem['msg']}"


def _spell(value: object) -> str:
    """A value as it stands in a TOML file."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return repr(value)
        case _:
            return str(value)


def _keys(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand in the table at that place."""
    place: Any = Target
    for name in loc:
        if isinstance(place, type) and issubclass(place, BaseModel):
            place = place.model_fields[str(name)].annotation
        else:
            place = get_args(place)[1]  # dict[str, Origin]
    return list(place.model_fields)
