"""What pydantic found wrong with a target, in sentences for the person who can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from afmc.errors import did_you_mean
from afmc.targets.schema import Baseline, Description, Target

_LINE = 300
"""Characters of a sentence."""
_MOST = 100
"""Problems that are listed."""

# By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/
_WISHES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "dict_type": "a table",
    "list_type": "a list",
    "model_type": "a table",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "less than {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "literal_error": "{expected}",
}

_OTHERS = {
    Target: Baseline.model_fields.keys() - Target.model_fields,
    Baseline: Target.model_fields.keys() - Baseline.model_fields,
}
"""What only a description of the other kind has."""

_PATTERNS = {
    "noise": "must be the name of a device model or look like 'package.module:Class'",
    "name": "must be made of letters, digits, '.', '_' and '-', and begin with a letter or digit",
}


def problems_in(
    error: ValidationError, kind: type[Description], file: str, overrides: Mapping[str, object]
) -> list[str]:
    """A sentence for each problem, cut to a line.

    Unknown keys come before missing ones: they are often the missing ones, misspelt.
    """
    problems = [each for each in error.errors() if each["loc"][:1] != ("overrides",)]
    problems.sort(key=lambda each: each["type"] != "extra_forbidden")
    sentences = [_line(_sentence(each, kind, file, overrides)) for each in problems[:_MOST]]
    more = len(problems) - _MOST
    return sentences if more <= 0 else [*sentences, f"{file} has {more:,} more problems."]


def _line(sentence: str) -> str:
    """Cut where it is long, with control characters escaped."""
    cut = sentence if len(sentence) <= _LINE else f"{sentence[: _LINE - 3]}..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )


def _sentence(
    problem: ErrorDetails, kind: type[Description], file: str, overrides: Mapping[str, object]
) -> str:
    loc, context = problem["loc"], problem.get("ctx", {})
    key = ".".join(map(str, loc))
    if problem["type"] == "figure":  # of a rule over several figures: names the one to mend
        key = ".".join((*map(str, loc), context["key"]))
    if key in overrides:
        done = "set" if overrides[key] is not None else "taken away"
        where = f"{key}, {done} by the user,"
    else:
        where = f"{file}:{key}" if key else file
    found = f"but is {spell(problem['input'])}."
    match problem["type"]:
        case "missing":
            return f"{where} is missing."
        case "extra_forbidden" if key in _OTHERS[kind]:
            other, own = ("digital", "analog") if kind is Target else ("analog", "digital")
            return f"{where} is of {other} hardware, but kind is '{own}'."
        case "extra_forbidden":
            return f"{where} is not a known key." + did_you_mean(
                str(loc[-1]), _keys(kind, loc[:-1])
            )
        case "origin_unknown":
            name, known = context["key"], context["known"]
            return f"{where}.origin.{name} is not a figure of [{key}]." + did_you_mean(name, known)
        case "origin_unset":
            name = context["key"]
            return f"{where}.origin.{name} is the origin of a figure that [{key}] does not give."
        case "string_pattern_mismatch":
            if loc[-1] == "[key]":
                where, loc = f"{file}:{loc[0]} has a name that", ("name",)
            return f"{where} {_PATTERNS[str(loc[-1])]}, {found}"
        case "string_too_short":
            return f"{where} must not be empty."
        case wish if wish in _WISHES:
            return f"{where} must be {_WISHES[wish].format(**context)}, {found}"
        case _:
            return f"{where} {problem['msg']}"


def spell(value: object) -> str:
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


def _keys(kind: type[Description], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand in the table at that place."""
    place: Any = kind
    for name in loc:
        if get_origin(place) is dict:  # by any name: dict[str, Origin]
            place = get_args(place)[1]
        else:
            place = place.model_fields[str(name)].annotation
        if get_origin(place) is not dict:  # Optics | None
            inside = (each for each in get_args(place) if hasattr(each, "model_fields"))
            place = next(inside, place)
    return [key for key in place.model_fields if key not in ("overrides", "mode")]
