"""What `afmc validate DIR --json` printed: read, checked, and held against a compile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afmc.common.strict_json import read_object
from afmc.errors import OptionError
from afmc.hardware.conditions import format_time
from afmc.program.compiled import CompiledProgram


class Given(BaseModel):
    """Keys that nobody shows are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Estimate(Given):
    mean: float
    std: float | None = None
    interval_95: tuple[float, float] | None = None
    values: tuple[float, ...] = ()

    @property
    def ends(self) -> tuple[float, float]:
        return self.interval_95 or (self.mean, self.mean)


class Perplexity(Given):
    perplexity: Estimate


class Digital(Given):
    perplexity: float


class Condition(Given):
    at_s: float
    temperature_C: float
    compensation: str
    calibration_probes: int = 0
    analog: Perplexity
    kl_divergence: Estimate
    top1_agreement: Estimate

    @property
    def temperature(self) -> str:
        return f"{self.temperature_C:g} °C"

    @property
    def correction(self) -> str:
        """How drift, temperature and columns are corrected."""
        probes = f", {self.calibration_probes} probes" if self.calibration_probes else ""
        return f"compensation {self.compensation}{probes}"

    @property
    def text(self) -> str:
        return f"{format_time(self.at_s)}, {self.temperature}, {self.correction}"


class OfMatrix(Given):
    name: str
    relative_error: Estimate


class Identity(Given):
    """Of which model a validation is, and on what."""

    model: str
    model_sha256: str | None = None
    target: str


class Validation(Given):
    noise: bool = True
    digital: Digital
    conditions: tuple[Condition, ...]
    tokens: int
    scored_tokens: int
    window: int
    instances: int
    seed: int
    text: str
    text_sha256: str = ""
    defects: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    matrices: tuple[OfMatrix, ...] = ()
    notes: tuple[str, ...] = ()


def load(path: Path) -> dict[str, Any]:
    """The JSON of a validation. Raises OptionError in one sentence for anything else."""
    what = f"the validation {path}"
    if not path.exists():
        raise OptionError(f"{what} cannot be read: No such file or directory.")
    if path.is_dir():
        raise OptionError(f"{what} cannot be read: Is a directory.")
    try:
        value = read_object(path)
    except OSError as error:
        raise OptionError(f"{what} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(
            f"{what} is no JSON ({error}); make it with 'afmc validate DIR --json > {path}'."
        ) from error
    if "conditions" not in value or "digital" not in value:
        raise OptionError(f"{what} is not what 'afmc validate DIR --json' prints.")
    if isinstance(value["digital"], dict) and "accuracy" in value["digital"]:
        raise OptionError(f"{what} is of a classifier, whose accuracy the page does not show yet.")
    return value


def read_validation(path: Path, compiled: CompiledProgram) -> dict[str, Any]:
    """The JSON of a validation of this very model on this very target.

    Raises OptionError in one sentence for anything else.
    """
    value = load(path)
    check(compiled, value, f"the validation {path}")
    return value


def check(
    compiled: CompiledProgram, value: Mapping[str, Any], what: str = "the validation"
) -> Validation:
    """Raises OptionError unless it is one of this model on this target."""
    if wrong := mismatch(compiled, parse(Identity, value, what)):
        raise OptionError(f"{what} {wrong}")
    validation = parse(Validation, value, what)
    if not validation.conditions:
        raise OptionError(f"{what} has no conditions.")
    return validation


def mismatch(compiled: CompiledProgram, found: Identity) -> str:
    """Why a validation is not of this compile; empty if it is of its model on its target."""
    model, target = compiled.program.model, compiled.target
    other = found.model_sha256 is not None and found.model_sha256 != model.sha256
    if found.model != model.name or other:
        how = " with other weights" if found.model == model.name else ""
        return f"is of {found.model}{how}, not of {model.name} as compiled here."
    if found.target != target.name:
        return f"is on {found.target}, but this compile is for {target.name}."
    return ""


Shape = TypeVar("Shape", bound=Given)


def parse(shape: type[Shape], value: Mapping[str, Any], what: str) -> Shape:
    """Raises OptionError with the first thing that is wrong."""
    try:
        return shape.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"{what}: {where or 'the file'}: {first['msg'].lower()}.") from error
