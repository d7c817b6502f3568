"""Which validation or benchmark is of which compile, and what they measured side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afmc.compare.rows import Row, rows_of
from afmc.errors import OptionError
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.reading import load, mismatch, parse, results_of
from afmc.evaluation.results import Identity, UnderCondition, Validation
from afmc.program.compiled import CompiledProgram


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of a model, or its metric of a benchmark, on its tiles; or digital, where there is
    nothing but a mean."""

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
    of_directory: dict[Path, list[tuple[str, Validation | Benchmarks]]] = defaultdict(list)
    for file in files:
        directory, path, found = _assigned(directories, compiles, str(file))
        of_directory[directory].append((path, found))
    every = [
        found
        for several in of_directory.values()
        for _, found in several
        if isinstance(found, Validation)
    ]
    rows = rows_of([_of(directory, of_directory[directory], every) for directory in directories])
    return tuple(Measured(row.name, row.values) for row in rows)


def _assigned(
    directories: Sequence[Path], compiles: Sequence[CompiledProgram], file: str
) -> tuple[Path, str, Validation | Benchmarks]:
    by_directory = dict(zip(directories, compiles, strict=True))
    named, _, path = file.partition("=")
    if path and Path(named) in by_directory:
        what = f"the validation {path}"
        found = results_of(by_directory[Path(named)], load(Path(path)), what)
        return Path(named), path, found
    what = f"the validation {file}"
    value = load(Path(file))
    identity = parse(Identity, value, what)
    fitting = [each for each, kept in by_directory.items() if not mismatch(kept, identity)]
    if len(fitting) == 1:
        return fitting[0], file, results_of(by_directory[fitting[0]], value, what)
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
    directory: Path,
    validations: Sequence[tuple[str, Validation | Benchmarks]],
    every: Sequence[Validation],
) -> dict[str, Perplexity]:
    found: dict[str, Perplexity] = {}
    origin: dict[str, str] = {}
    for path, each in validations:
        of_file = _scores(each) if isinstance(each, Benchmarks) else _perplexities(each, every)
        for name, figure in of_file:
            if name in origin and figure.instances is not None:
                raise OptionError(
                    f"{origin[name]} and {path} both validate {directory} on {name}; give one."
                )
            origin[name] = path
            found.setdefault(name, figure)
    return found


def _perplexities(
    each: Validation, every: Sequence[Validation]
) -> Iterator[tuple[str, Perplexity]]:
    text = _text(each, every)
    yield f"{text}: digital", Perplexity(each.digital_perplexity)
    for condition in each.outcomes:
        name = f"{text}: {_setting(each, condition)}"
        yield name, Perplexity(**dict(condition.perplexity), instances=each.instances)


def _scores(each: Benchmarks) -> Iterator[tuple[str, Perplexity]]:
    for digital in each.digital.scores:
        asked = f"{digital.task}, {digital.metric} of {digital.questions:,} questions"
        yield f"{asked}: digital", Perplexity(digital.score.mean)
        for condition in each.outcomes:
            for score in condition.scores:
                if (score.task, score.metric) == (digital.task, digital.metric):
                    figure = Perplexity(**dict(score.over_chips), instances=each.instances)
                    yield f"{asked}: {_setting(each, condition)}", figure


def _text(found: Validation, every: Sequence[Validation]) -> str:
    """What was read; texts of one name are told apart by their hash."""
    hashes = {each.text_sha256 for each in every if each.text == found.text}
    which = f" ({found.text_sha256[:8]})" if len(hashes) > 1 else ""
    return f"{found.text}{which}, {found.tokens:,} tokens in windows of {found.window:,}"


def _setting(found: Validation | Benchmarks, condition: UnderCondition) -> str:
    parts = [condition.text]
    if not found.noise:
        parts.append("without noise")
    parts += [f"{key} = {_plain(value)}" for key, value in found.overrides.items()]
    if found.defects:
        parts.append(f"broken: {found.defects}")
    return ", ".join(parts)


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
