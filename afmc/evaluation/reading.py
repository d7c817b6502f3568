"""What `afmc validate` or `afmc eval` printed: read, checked, and held against a compile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from afmc.common.strict_json import read_object
from afmc.errors import OptionError
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.results import Identity, Shape, Validation
from afmc.program.compiled import CompiledProgram


def load(path: Path) -> dict[str, Any]:
    """The JSON of a validation. Raises OptionError in one sentence for anything else."""
    what = f"the validation {path}"
    if path.is_dir() or not path.exists():
        reason = "Is a directory" if path.is_dir() else "No such file or directory"
        raise OptionError(f"{what} cannot be read: {reason}.")
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


def read_validation(path: Path, compiled: CompiledProgram) -> Validation:
    """A validation of this very model on this very target.

    Raises OptionError in one sentence for anything else.
    """
    return validation_of(compiled, load(path), f"the validation {path}")


def read_results(path: Path, compiled: CompiledProgram) -> Validation | Benchmarks:
    """A validation, or benchmarks, of this very model on this very target.

    Raises OptionError in one sentence for anything else.
    """
    return results_of(compiled, load(path), f"the validation {path}")


def results_of(
    compiled: CompiledProgram, value: Mapping[str, Any], what: str = "the validation"
) -> Validation | Benchmarks:
    """What ``afmc validate DIR --json`` or ``afmc eval DIR --json`` printed of this compile.

    Raises OptionError in one sentence for anything else.
    """
    if "harness" not in value:
        return validation_of(compiled, value, what)
    check_identity(compiled, parse(Identity, value, what), what)
    found = parse(Benchmarks, value, what)
    known = {(each.task, each.metric) for each in found.digital.scores}
    for under in found.outcomes:
        for each in under.scores:
            if (each.task, each.metric) not in known:
                raise OptionError(f"{what} has no digital {each.metric} of {each.task}.")
    if not found.outcomes:
        raise OptionError(f"{what} has no conditions.")
    return found


def validation_of(
    compiled: CompiledProgram, value: Mapping[str, Any], what: str = "the validation"
) -> Validation:
    """Raises OptionError unless this is the JSON of a validation of this model on this target."""
    check_identity(compiled, parse(Identity, value, what), what)
    validation = parse(Validation, value, what)
    if not validation.outcomes:
        raise OptionError(f"{what} has no conditions.")
    return validation


def check_identity(
    compiled: CompiledProgram, found: Identity, what: str = "the validation"
) -> None:
    """Raises OptionError unless a measurement is of this compile's model on its target."""
    if wrong := mismatch(compiled, found):
        raise OptionError(f"{what} {wrong}")


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


Wanted = TypeVar("Wanted", bound=Shape)


def parse(shape: type[Wanted], value: Mapping[str, Any], what: str) -> Wanted:
    """Raises OptionError with the first thing that is wrong."""
    try:
        return shape.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OptionError(f"{what}: {where or 'the file'}: {first['msg'].lower()}.") from error
