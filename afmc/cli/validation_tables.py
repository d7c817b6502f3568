"""A validation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.evaluation.figures import Shown, exact, shown
from afmc.evaluation.results import CalibrationCost, Classification, Speeds, Validation
from afmc.evaluation.statistics import FEWEST
from afmc.hardware.conditions import Condition, format_time
from afmc.targets import Target

WORST = 10
"""Matrices that are listed."""

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: Validation, target: Target) -> RenderableType:
    from rich.console import Group

    table = _one(result, target) if len(result.outcomes) == 1 else _several(result, target)
    where = (
        f"{result.model} on {result.tokens:,} tokens of {result.text} in windows of "
        f"{result.window} (the first token of a window is not scored); seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
        + _speed(result.simulation_tokens_per_s, "tokens a second", "windows")
    )
    more = [_matrices(result)] if result.matrices else []
    return Group(table, *more, where + _besides(result))


def render_classification(result: Classification, target: Target) -> RenderableType:
    """A row for each condition."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{target.name}, {_drawn(result)}, measured in simulation",
        title_justify="left",
    )
    for heading in ("at", "temperature", "compensation", "calibrated"):
        table.add_column(heading)
    for heading in ("accuracy", *_spreads(result), "same class"):
        table.add_column(heading, justify="right")
    table.add_row("digital", "", "", "", exact(result.digital_accuracy, share=True))
    for outcome in result.outcomes:
        accuracy = shown(outcome.accuracy, share=True)
        table.add_row(
            *_condition(outcome.condition),
            accuracy.mean,
            *_spread(accuracy, result),
            shown(outcome.top1_agreement, share=True).mean,
        )
    where = (
        f"{result.model} on {result.samples:,} samples of {result.data}; seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
        + _speed(result.simulation_samples_per_s, "samples a second", "batches")
    )
    return Group(table, where + _besides(result))


def _speed(speeds: Speeds, unit: str, parts: str) -> str:
    """How fast this machine was, in a line."""
    said = [
        f"{each.mean:,.0f}" + ("" if each.std is None else f" ± {each.std:,.0f}")
        for each in (speeds.digital, speeds.analog)
    ]
    return (
        f"\nSpeed of this simulation on this machine, not of the hardware: {said[0]} {unit} "
        f"digital, {said[1]} on tiles (measured after a warm-up; ± standard deviation over "
        f"{parts})."
    )


def _besides(result: Validation | Classification) -> str:
    """What was set, what a reader should know, and what calibrating costs."""
    text = ""
    if result.overrides:
        said = ", ".join(f"{key} = {value}" for key, value in result.overrides.items())
        text += f" Set by the user: {said}."
    text += "".join(f"\nNote: {note}." for note in result.notes)
    if result.calibration is not None:
        text += "\n" + _cost(result.calibration)
    return text


def _condition(condition: Condition) -> tuple[str, str, str, str]:
    return (
        format_time(condition.at_s),
        f"{condition.temperature_C:g} C",
        condition.compensation,
        f"{condition.probes} probes" if condition.probes else "no",
    )


def _one(result: Validation, target: Target) -> RenderableType:
    """A row for each figure."""
    from rich import box
    from rich.table import Table

    condition = result.outcomes[0].condition
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"measured in simulation, {condition}")
    table.add_column("digital", justify="right")
    for heading in (f"on {target.name}: {_drawn(result)}", *_spreads(result)):
        table.add_column(heading, justify="right")
    for name, digital, figure in (
        ("perplexity", exact(result.digital_perplexity), shown(result.perplexity)),
        ("KL divergence, nats a token", "", shown(result.kl_divergence)),
        ("top-1 agreement", "", shown(result.top1_agreement, share=True)),
    ):
        table.add_row(name, digital, figure.mean, *_spread(figure, result))
    return table


def _drawn(result: Validation | Classification) -> str:
    return "1 instance" if result.instances == 1 else f"mean of {result.instances}"


def _spreads(result: Validation | Classification) -> tuple[str, ...]:
    """Headings of what `_spread` gives."""
    if result.instances == 1:
        return ()
    return ("std", "95 % interval") if result.instances >= FEWEST else ("values",)


def _spread(figure: Shown, result: Validation | Classification) -> tuple[str, ...]:
    if result.instances == 1:
        return ()
    return (figure.std, figure.interval) if result.instances >= FEWEST else (figure.values,)


def _several(result: Validation, target: Target) -> RenderableType:
    """A row for each condition."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{target.name}, {_drawn(result)}, measured in simulation",
        title_justify="left",
    )
    for heading in ("at", "temperature", "compensation", "calibrated"):
        table.add_column(heading)
    for heading in ("perplexity", *_spreads(result), "KL, nats", "same token"):
        table.add_column(heading, justify="right")
    table.add_row("digital", "", "", "", exact(result.digital_perplexity))
    for outcome in result.outcomes:
        perplexity = shown(outcome.perplexity)
        table.add_row(
            *_condition(outcome.condition),
            perplexity.mean,
            *_spread(perplexity, result),
            shown(outcome.kl_divergence).mean,
            shown(outcome.top1_agreement, share=True).mean,
        )
    return table


def _matrices(result: Validation) -> RenderableType:
    """Those whose products are most wrong."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    condition = result.outcomes[0].condition
    worst = sorted(result.matrices, key=lambda each: -each.relative_error.mean)
    title = f"matrices whose products are most wrong, {condition}; all are in --json"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("matrix")
    for heading in ("relative error of the products", *_spreads(result)):
        table.add_column(heading, justify="right")
    for each in worst[:WORST]:
        error = shown(each.relative_error, share=True)
        table.add_row(each.name, error.mean, *_spread(error, result))
    return Group(title, table)


def _cost(cost: CalibrationCost) -> str:
    time = (
        "the target gives no read latency"
        if cost.tile_time_ns is None
        else f"{cost.tile_time_ns / 1e3:,.1f} us for the busiest tile"
    )
    return (
        f"Calibration of an instance: {cost.probes} probe inputs, {cost.reads:,} reads of blocks "
        f"({time}), {cost.digital_macs:,} digital multiply-accumulates; then "
        f"{cost.digital_operations_per_token:,} additions a token (derived)."
    )
