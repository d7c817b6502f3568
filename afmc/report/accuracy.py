"""What `afmc validate DIR --json` measured: tables, and plots with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afmc.evaluation.figures import Shown, exact, shown
from afmc.evaluation.results import Outcome, Validation
from afmc.hardware.conditions import format_time
from afmc.report.scale import Axis

ROWS = 60
"""Conditions that are plotted, at most."""
SERIES = 8
"""Lines of a plot over time or temperature, at most."""


@dataclass(frozen=True)
class Point:
    """Point of a plot: where its mean, its interval and its instances are, in per cent."""

    label: str
    x: float
    y: float
    low: float
    high: float
    values: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Strip:
    """Perplexity of every instance, a row for each condition, left to right."""

    points: tuple[Point, ...]
    digital: float
    ticks: tuple[tuple[float, str], ...]
    log: bool
    left_out: int


@dataclass(frozen=True)
class Series:
    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Lines:
    """Perplexity over time or temperature; places are evenly apart."""

    over: str
    places: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    digital: float
    ticks: tuple[tuple[float, str], ...]
    log: bool
    left_out: int


@dataclass(frozen=True)
class AccuracyView:
    title: str
    about: str
    rows: tuple[tuple[tuple[str, str | float], ...], ...]
    """Cells: text, and what they are sorted by."""
    strip: Strip
    lines: tuple[Lines, ...]
    notes: tuple[str, ...]
    verdict: tuple[str, ...]
    steps: tuple[tuple[str, str, str], ...]
    """Of the verdict's probe: effect, perplexity, divergence."""
    headline: str
    """Perplexity under the first condition."""
    interval: str
    digital: str
    """Perplexity, with that of the converters alone where it was measured."""
    first: str
    errors: dict[str, float]
    """The relative error of the products by matrix, mean over instances; empty where not measured.
    """


HEADINGS = (
    ("at", "temperature", "compensation", "calibrated"),
    ("perplexity", "std", "95 % interval, or values", "KL, nats a token", "top-1 agreement"),
)


def view_of(found: Validation) -> AccuracyView:
    first = found.outcomes[0]
    perplexity = shown(first.perplexity)
    overrides = ", ".join(f"{key} = {value}" for key, value in found.overrides.items())
    about = (
        f"Measured in simulation on {found.tokens:,} tokens of {found.text} in windows of "
        f"{found.window:,}, {found.scored_tokens:,} scored; {found.instances} instances, seed "
        f"{found.seed}."
        + (f" Set for this validation alone: {overrides}." if overrides else "")
        + (f" Broken: {found.defects}." if found.defects else "")
        + ("" if found.noise else " Without noise: the converters' bits alone.")
    )
    return AccuracyView(
        title=f"{found.text}, {found.instances} instances, seed {found.seed}"
        + ("" if found.noise else ", without noise"),
        about=about,
        rows=tuple(_row(condition) for condition in found.outcomes),
        strip=_strip(found),
        lines=tuple(
            lines
            for lines in (
                _lines(found, "time", lambda c: c.at_s, format_time, lambda c: c.temperature),
                _lines(
                    found,
                    "temperature",
                    lambda c: c.temperature_C,
                    lambda value: f"{value:g} °C",
                    lambda c: format_time(c.at_s),
                ),
            )
            if lines is not None
        ),
        notes=found.notes,
        verdict=() if found.verdict is None else found.verdict.lines,
        steps=tuple(
            (step.effect, exact(step.figure), exact(step.divergence))
            for step in (found.verdict.steps if found.verdict else ())
        ),
        headline=perplexity.mean,
        digital=_digital(found),
        interval=_told(perplexity) or "one instance",
        first=first.text,
        errors={each.name: each.relative_error.mean for each in found.matrices},
    )


def _digital(found: Validation) -> str:
    digital = exact(found.digital_perplexity)
    if found.without_noise is None:
        return digital
    return f"{digital}, with the converters alone {exact(found.without_noise.perplexity)}"


def _row(condition: Outcome) -> tuple[tuple[str, str | float], ...]:
    estimate, perplexity = condition.perplexity, shown(condition.perplexity)
    kl, top1 = condition.kl_divergence, condition.top1_agreement
    probes = condition.calibration_probes
    return (
        (format_time(condition.at_s), condition.at_s),
        (condition.temperature, condition.temperature_C),
        (condition.compensation, condition.compensation),
        (f"{probes} probes" if probes else "no", probes),
        (perplexity.mean, estimate.mean),
        (perplexity.std, "" if estimate.std is None else estimate.std),
        (perplexity.spread, estimate.ends[0]),
        (shown(kl).mean, kl.mean),
        (shown(top1, share=True).mean, top1.mean),
    )


def _told(figure: Shown) -> str:
    """The interval or the values of a figure, with what they are; empty for one instance."""
    if figure.interval:
        return f"95 %: {figure.interval}"
    return f"values {figure.values}" if figure.values else ""


def _axis(found: Validation) -> Axis:
    values = [found.digital_perplexity]
    for condition in found.outcomes:
        estimate = condition.perplexity
        values += [estimate.mean, *estimate.values]
        values += estimate.ends
    return Axis(values)


def _marks(axis: Axis) -> tuple[tuple[float, str], ...]:
    return tuple((_at(axis, tick), f"{tick:,.6g}") for tick in axis.ticks())


def _at(axis: Axis, value: float) -> float:
    return round(100 * axis.at(value), 2)


def _point(condition: Outcome, label: str, axis: Axis, place: float = 0.0) -> Point:
    estimate = condition.perplexity
    low, high = estimate.ends
    told = _told(perplexity := shown(estimate))
    return Point(
        label=label,
        x=place,
        y=_at(axis, estimate.mean),
        low=_at(axis, low),
        high=_at(axis, high),
        values=tuple(_at(axis, value) for value in estimate.values),
        text=f"{condition.text}: perplexity {perplexity.mean}" + (f", {told}" if told else ""),
    )


def _strip(found: Validation) -> Strip:
    axis = _axis(found)
    shown = found.outcomes[:ROWS]
    return Strip(
        points=tuple(_point(condition, condition.text, axis) for condition in shown),
        digital=_at(axis, found.digital_perplexity),
        ticks=_marks(axis),
        log=axis.log,
        left_out=len(found.outcomes) - len(shown),
    )


def _lines(
    found: Validation,
    over: str,
    of: Callable[[Outcome], float],
    named: Callable[[float], str],
    apart: Callable[[Outcome], str],
) -> Lines | None:
    """A line for each combination of the other conditions; None without several places."""
    places = sorted({of(condition) for condition in found.outcomes})
    if len(places) < 2:
        return None
    at = {place: round(100 * (i + 0.5) / len(places), 2) for i, place in enumerate(places)}
    axis = _axis(found)
    lines: dict[str, list[Outcome]] = {}
    for condition in sorted(found.outcomes, key=of):
        lines.setdefault(f"{apart(condition)}, {condition.correction}", []).append(condition)
    return Lines(
        over=over,
        places=tuple((at[place], named(place)) for place in places),
        series=tuple(
            Series(label, tuple(_point(c, label, axis, at[of(c)]) for c in each))
            for label, each in list(lines.items())[:SERIES]
        ),
        digital=_at(axis, found.digital_perplexity),
        ticks=_marks(axis),
        log=axis.log,
        left_out=max(0, len(lines) - SERIES),
    )
