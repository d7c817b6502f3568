"""Which validation is of which compile, and the perplexities side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afmc.compare.rows import Row, rows_of
from afmc.errors import OptionError
from afmc.evaluation.reading import load, mismatch, parse, validation_of
from afmc.evaluation.results import Identity, Outcome, Validation
from afmc.program.compiled import CompiledProgram


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of a model on its tiles, or digital, where there is nothing but a mean."""

    mean: float
    std: float | None = None
    interval_95: tuple[float, float] | None = None
    values: tuple[float, ...] = ()
    instances: int | None = None


@dataclass(frozen=True)
class Measured(Row):
    values: tuple[Perplexity | None, ...]
    """None where it was not measured, which is no difference."""

    @property
    def differs(self) -> bool:
        return len({value.mean for value in self.values if value is not None}) > 1


def perplexities(
    directories: Sequence[Path], compiles: Sequence[CompiledProgram], files: Sequence[str | Path]
) -> tuple[Measured, ...]:
    """A row for each condition under which one of them was validated, of the same text alone.

    A file is of the compile whose model and target it names; ``DIR=FILE`` says which where several
    have both. Raises OptionError for a file that is of none, or could be of several.
    """
    of_directory: dict[Path, list[tuple[str, Validation]]] = defaultdict(list)
    for file in files:
        directory, path, found = _assigned(directories, compiles, str(file))
        of_directory[directory].append((path, found))
    every = [found for several in of_directory.values() for _, found in several]
    rows = rows_of([_of(directory, of_directory[directory], every) for directory in directories])
    return tuple(Measured(row.name, row.values) for row in rows)


def _assigned(
    directories: Sequence[Path], compiles: Sequence[CompiledProgram], file: str
) -> tuple[Path, str, Validation]:
    by_directory = dict(zip(directories, compiles, strict=True))
    named, _, path = file.partition("=")
    if path and Path(named) in by_directory:
        what = f"the validation {path}"
        found = validation_of(by_directory[Path(named)], load(Path(path)), what)
        return Path(named), path, found
    what = f"the validation {file}"
    value = load(Path(file))
    identity = parse(Identity, value, what)
    fitting = [each for each, kept in by_directory.items() if not mismatch(kept, identity)]
    if len(fitting) == 1:
        return fitting[0], file, validation_of(by_directory[fitting[0]], value, what)
    if fitting:
        raise OptionError(
            f"{what} is of {identity.model} on {identity.target}, which are compiled in "
            f"{' and in '.join(map(str, fitting))}: say which with --validation "
            f"{fitting[0]}={file}."
        )
    if len(by_directory) == 1:
        raise OptionError(f"{what} {mismatch(compiles[0], identity)}")
    raise OptionError(
        f"{what} is of {identity.model} on {identity.target}, and none of "
        f"{', '.join(map(str, by_directory))} is that model with those weights on that target."
    )


def _of(
    directory: Path, validations: Sequence[tuple[str, Validation]], every: Sequence[Validation]
) -> dict[str, Perplexity]:
    found: dict[str, Perplexity] = {}
    origin: dict[str, str] = {}
    for path, each in validations:
        text = _text(each, every)
        found.setdefault(f"{text}: digital", Perplexity(each.digital_perplexity))
        for condition in each.outcomes:
            name = f"{text}: {_setting(each, condition)}"
            if name in origin:
                raise OptionError(
                    f"{origin[name]} and {path} both validate {directory} on {name}; give one."
                )
            origin[name] = path
            found[name] = Perplexity(**dict(condition.perplexity), instances=each.instances)
    return found


def _text(found: Validation, every: Sequence[Validation]) -> str:
    """What was read; texts of one name are told apart by their hash."""
    hashes = {each.text_sha256 for each in every if each.text == found.text}
    which = f" ({found.text_sha256[:8]})" if len(hashes) > 1 else ""
    return f"{found.text}{which}, {found.tokens:,} tokens in windows of {found.window:,}"


def _setting(found: Validation, condition: Outcome) -> str:
    parts = [condition.text]
    if not found.noise:
        parts.append("without noise")
    parts += [f"{key} = {_plain(value)}" for key, value in found.overrides.items()]
    if found.defects:
        parts.append(f"broken: {found.defects}")
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
