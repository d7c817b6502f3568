"""Benchmarks as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.common.tables import Listing
from afmc.evaluation.benchmarks.results import AnalogScore, Benchmarks, DigitalScore
from afmc.evaluation.figures import shown
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: Benchmarks, target: Target) -> RenderableType:
    """A row for each metric of each task, under every condition."""
    from rich.console import Group

    drawn = "1 instance" if result.instances == 1 else f"mean of {result.instances} instances"
    tables = []
    for under in result.outcomes:
        rows = [
            _row(result.digital_of(each.task, each.metric), each, result.instances)
            for each in under.scores
        ]
        tables.append(
            Listing(
                f"{target.name}, {drawn}, measured in simulation; {under.condition}",
                (
                    "task",
                    "metric",
                    "questions",
                    "digital",
                    "on tiles",
                    "std of chips",
                    "difference",
                ),
                rows,
                left=("metric",),
                names=True,
            )
        )
    where = (
        f"{result.model}, lm-eval {result.harness}; ± is the standard error over questions; the "
        f"difference, in points, is of the same questions; seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
    )
    if result.overrides:
        said = ", ".join(f"{key} = {value}" for key, value in result.overrides.items())
        where += f" Set by the user: {said}."
    where += "".join(f"\nNote: {note}." for note in result.notes)
    return Group(*tables, where)


def _row(digital: DigitalScore, analog: AnalogScore, chips: int) -> tuple[str, ...]:
    shots = f", {digital.shots} examples" if digital.shots else ""
    share = digital.score.standard_error is not None
    spread = shown(analog.over_chips, share=share)
    over_chips = "" if chips == 1 else spread.std
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
        over_chips,
        difference,
    )


def _with_error(mean: float, error: float | None) -> str:
    """A share in per cent with its error; what is no mean of questions as a number."""
    if error is None:
        return f"{mean:,.4g}"
    return f"{100 * mean:.1f} ± {100 * error:.1f} %"
