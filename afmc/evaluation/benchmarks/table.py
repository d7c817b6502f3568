"""Benchmarks in words, for the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass

from afmc.evaluation.benchmarks.results import AnalogScore, Benchmarks, DigitalScore

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
    share = digital.is_share
    spread = ""
    if analog.over_chips.std is not None:
        std = analog.over_chips.std
        spread = f"{100 * std:.2g} %" if share else f"{std:,.3g}"
    difference = ""
    if analog.difference is not None:
        difference = _with_error(
            analog.difference.mean, analog.difference.standard_error, 100 if share else 1, "+"
        )
    return (
        digital.task + shots,
        digital.metric,
        f"{digital.questions:,}",
        _figure(digital.score.mean, digital.score.standard_error, share),
        _figure(analog.over_chips.mean, analog.standard_error, share),
        "" if chips == 1 else spread,
        difference,
    )


def _figure(mean: float, error: float | None, share: bool) -> str:
    """A share in per cent, anything else as a number, with its error where there is one."""
    if share:
        return f"{_with_error(mean, error, 100)} %"
    return f"{mean:,.4g}" if error is None else f"{mean:,.4g} ± {error:,.2g}"


def _with_error(mean: float, error: float | None, unit: int, sign: str = "") -> str:
    number = f"{unit * mean:{sign}.{1 if unit > 1 else 3}f}"
    return number if error is None else f"{number} ± {unit * error:.{1 if unit > 1 else 3}f}"
