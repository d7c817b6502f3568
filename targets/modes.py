"""Modes: a target with the figures of another way to use its hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afmc.errors import TargetError, did_you_mean
from afmc.targets.schema import Change, Target
from afmc.targets.tables import Table

_ORIGIN = ("source", "basis", "note")


def in_mode(target: Target, mode: str, label: str) -> dict[str, Any]:
    """The target's data with the figures of that mode, not yet checked.

    Raises TargetError for a mode that is not there, a table that is not there, a figure to omit
    that cannot be, and an origin of a figure that the mode does not give.
    """
    if mode not in target.modes:
        has = f"; its modes: {', '.join(target.modes)}." if target.modes else ", nor any other."
        raise TargetError(
            f"{target.name} has no mode '{mode}'{has}" + did_you_mean(mode, list(target.modes))
        )
    data = target.to_data()
    for name, given in target.modes[mode].tables():
        figures = {key: value for key, value in given.items() if key not in Change.model_fields}
        own = {key: given[key] for key in _ORIGIN if key in given}
        kind, table = Target.tables()[name], data.get(name)
        if table is None:
            raise TargetError(f"{label}:{name} replaces figures of a table that is not given.")
        for key in given.get("omit", []):
            if problem := _not_omitted(key, kind, table, figures):
                raise TargetError(f"{label}:{name}.omit names {key}, {problem}")
            del table[key]
            table["origin"].pop(key, None)
        origins = given.get("origin", {})
        for key in origins:
            if key in kind.keys() and key not in figures:
                raise TargetError(
                    f"{label}:{name}.origin.{key} is the origin of a figure that the mode does "
                    f"not give."
                )
        table["origin"] |= {key: own for key in figures} | origins
        table |= figures
    return {**data, "mode": mode}


def _not_omitted(
    key: str, kind: type[Table], table: Mapping[str, Any], figures: Mapping[str, Any]
) -> str:
    """Why a mode cannot omit that figure, or nothing."""
    if key not in kind.keys():
        return "which is not a figure." + did_you_mean(key, kind.keys())
    if kind.requires(key):
        return "which must be given."
    if key in figures:
        return "which the mode gives."
    return "" if table.get(key) is not None else "which is not given."
