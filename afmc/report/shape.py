"""Checking what is handed over as JSON: only what the page shows, in pydantic models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from afmc.errors import OptionError


class Given(BaseModel):
    """Keys that the page does not show are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


Shape = TypeVar("Shape", bound=Given)


def parse(shape: type[Shape], value: Mapping[str, Any], what: str) -> Shape:
    """Raises OptionError with the first thing that is wrong."""
    try:
        return shape.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"{what}: {where or 'the file'}: {first['msg'].lower()}.") from error
