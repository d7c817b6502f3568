"""What benchmarks measured: what is written is what is read."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from afmc.evaluation.results import Estimate, Measured, Shape, UnderCondition


class OverQuestions(Shape):
    """A mean over questions."""

    mean: float
    standard_error: float | None = None
    """Over questions; None where the figure is no mean of theirs."""


class Paired(Shape):
    """Analog less digital, question by question."""

    mean: float
    standard_error: float | None
    """Over questions, each the mean of all chips: chips are another matter. None for one."""


class AnalogScore(Shape):
    """A metric of a task on noisy tiles."""

    task: str
    metric: str
    over_chips: Estimate
    """The metric of every chip, its mean and spread."""
    standard_error: float | None = None
    """Over questions, each the mean of all chips; None where the metric is no mean of questions."""
    difference: Paired | None = None
    """None where the metric is no mean of questions."""


class DigitalScore(Shape):
    """A metric of a task in digital arithmetic."""

    task: str
    metric: str
    questions: int
    shots: int
    """Examples before each question."""
    higher_is_better: bool = True
    is_share: bool = True
    """Whether every question counts between 0 and 1, so that it is told in per cent."""
    score: OverQuestions


class DigitalScores(Shape):
    scores: tuple[DigitalScore, ...]
    """Of the model as it came: without the program's prefix, rotations and tiles."""


class ScoresUnder(UnderCondition):
    """All tasks under one condition."""

    scores: tuple[AnalogScore, ...]


class Benchmarks(Measured):
    """Tasks, digital and analog, on the same questions. All figures are measured, in simulation."""

    order: ClassVar[tuple[str, ...]] = (
        "tasks", "limit", "batch", "harness", "data", "instances", "seed", "defects", "overrides",
        "notes", "calibration",
    )  # fmt: skip

    digital: DigitalScores
    outcomes: tuple[ScoresUnder, ...] = Field(alias="conditions")
    """One for each condition, in the order in which they were asked for."""
    tasks: tuple[str, ...]
    """As they were asked for."""
    limit: int | None = None
    """Questions of a task at most."""
    batch: int
    harness: str
    """Version of lm_eval."""
    data: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the files of local tasks, by task."""

    def digital_of(self, task: str, metric: str) -> DigitalScore:
        """Raises KeyError for a metric that was not measured."""
        for each in self.digital.scores:
            if (each.task, each.metric) == (task, metric):
                return each
        raise KeyError(f"{task} {metric}")
