"""Benchmarks in words, for the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass

from afmc.evaluation.benchmarks.results import AnalogScore, Benchmarks, DigitalScore
from afmc.evaluation.figures import shown

HEADINGS = ("task", "metric", "questions", "digital", "on tiles", "std of chips", "difference")

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A row for each metric of each task, under every condition."""

    title: str
    headings: Row
    conditions: tuple[tuple[str, tuple[Row, ...]], ...]
    """Each in words, with its rows."""
    about: str
    notes: tuple[str, ...]


def table_of(result: Benchmarks) -> Table:
    drawn = "1 instance" if result.instances == 1 else f"mean of {result.instances} instances"
    about = (
        f"{result.model}, lm-eval {result.harness}; ± is the standard error over questions; the "
        f"difference, in points, is of the same questions; seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
    )
    if result.overrides:
        said = ", ".join(f"{key} = {value}" for key, value in result.overrides.items())
        about += f" Set by the user: {said}."
    return Table(
        title=f"{result.target}, {drawn}, measured in simulation",
        headings=HEADINGS,
        conditions=tuple(
            (
                str(under.condition),
                tuple(
                    _row(result.digital_of(each.task, each.metric), each, result.instances)
                    for each in under.scores
                ),
            )
            for under in result.outcomes
        ),
        about=about,
        notes=result.notes,
    )


def _row(digital: DigitalScore, analog: AnalogScore, chips: int) -> Row:
    shots = f", {digital.shots} examples" if digital.shots else ""
    spread = shown(analog.over_chips, share=digital.score.standard_error is not None)
    difference = ""
    if analog.difference is not None:
        mean, error = analog.difference.mean, analog.difference.standard_error
        difference = f"{100 * mean:+.1f} ± {100 * error:.1f}"
    return (
        digital.task + shots,
        digital.metric,
        f"{digital.questions:,}",
        _with_error(digital.score.mean, digital.score.standard_error),
        _with_error(analog.over_chips.mean, analog.standard_error),
        "" if chips == 1 else spread.std,
        difference,
    )


def _with_error(mean: float, error: float | None) -> str:
    """A share in per cent with its error; what is no mean of questions as a number."""
    if error is None:
        return f"{mean:,.4g}"
    return f"{100 * mean:.1f} ± {100 * error:.1f} %"
