"""What ``afmc export --as huggingface`` leaves beside weights for a later compile of the folder.

Plain weights no longer say with which input ranges, and for what hardware, they were trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import MAPPING, read_json
from afmc.program.observed import Training

Range = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Kept:
    ranges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Half widths by module and by parameter; empty where any of them was calibrated."""
    training: Training | None = None


class _Matrix(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    module: str
    input_ranges: tuple[Range, ...]


class _Mapping(BaseModel):
    model_config = ConfigDict(extra="ignore")

    calibration: dict[str, Any] | None
    training: Training | None
    matrices: tuple[_Matrix, ...]


def read_kept(folder: Path) -> Kept:
    """Nothing where the folder has no such file. Raises ModelError, in one sentence."""
    file = folder / MAPPING
    if not file.is_file():
        return Kept()
    try:
        found = _Mapping.model_validate(read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{file}: {where}: {first['msg'].lower()}; write it anew with 'afmc export --as "
            f"huggingface', or take it out of the folder."
        ) from error
    if found.calibration is not None:  # which ones is not known any more
        return Kept(training=found.training)
    ranges = {
        place: each.input_ranges
        for each in found.matrices
        if each.input_ranges
        for place in (each.module, each.name)
    }
    return Kept(ranges, found.training)
