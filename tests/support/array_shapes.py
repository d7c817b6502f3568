"""Shapes of arrays that go into the tile simulator and come out, checked at each call in tests.

Letters are sizes that agree within a call; ``...`` stands for any sizes before the others.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PACKAGE = "afmc.simulator"
HELD = {"weight": "c r", "w_max": "s c", "gain": "s c"}

# function or method: argument or result, and attributes of it -> sizes
SHAPES: dict[str, dict[str, str]] = {
    "converters:codes": {"x": "...", "return": "..."},
    "converters:convert_input": {"x": "...", "return": "..."},
    "converters:convert_output": {"y": "...", "return": "..."},
    "cells:weight_per_state": {"scale": "c", "return": "c"},
    "cells:write": {"ideal": "c r", "scale": "c"},
    "tiles:program": {"weight": "c r", **{f"return.{k}": v for k, v in HELD.items()}},
    "row_slice:whole": {
        **{f"programmed.{k}": v for k, v in HELD.items()},
        "return.weight": "c r",
        "return.w_max": "one c",
    },
    "row_slice:RowSlice.forward": {
        "planes.0.amplitude": "... r",
        "self.compensation": "c",
        "self.gain": "c",
        "return": "... c",
    },
    "reference:multiply": {
        "x": "t r",
        **{f"programmed.{k}": v for k, v in HELD.items()},
        "return": "t c",
    },
}


class ShapeError(AssertionError):
    """An array of another shape than its place in the simulator says."""


def check_calls() -> None:
    """Has every call of these functions checked from now on, wherever they were imported."""
    for name, shapes in SHAPES.items():
        module, _, path = name.partition(":")
        owner: Any = importlib.import_module(f"{PACKAGE}.{module}")
        *outer, last = path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        original = getattr(owner, last)
        checked = _checked(original, name, shapes)
        setattr(owner, last, checked)
        for other in [m for n, m in sys.modules.items() if n.startswith("afmc.")]:
            for key in [key for key, value in vars(other).items() if value is original]:
                setattr(other, key, checked)


def _checked(
    function: Callable[..., Any], name: str, shapes: Mapping[str, str]
) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        values = signature.bind(*args, **kwargs).arguments
        sizes: dict[str, Any] = {}
        before = [place for place in shapes if not place.startswith("return")]
        _agree(name, values, before, shapes, sizes)
        result = function(*args, **kwargs)
        after = [place for place in shapes if place.startswith("return")]
        _agree(name, {"return": result}, after, shapes, sizes)
        return result

    return call


def _agree(
    name: str,
    values: Mapping[str, Any],
    places: Iterable[str],
    shapes: Mapping[str, str],
    sizes: dict[str, Any],
) -> None:
    for place in places:
        first, *attributes = place.split(".")
        value = values[first]
        for each in attributes:
            value = value[int(each)] if each.isdigit() else getattr(value, each)
        found, wanted = tuple(value.shape), shapes[place].split()
        letters = [each for each in wanted if each != "..."]
        leading = found[: len(found) - len(letters)]
        right = len(found) >= len(letters) and (
            sizes.setdefault("...", leading) == leading if "..." in wanted else leading == ()
        )
        for letter, size in zip(letters, found[len(leading) :], strict=False):
            right = right and sizes.setdefault(letter, size) == size
        if not right:
            raise ShapeError(f"{name}: {place} is {found}, not [{shapes[place]}] for {sizes}.")
