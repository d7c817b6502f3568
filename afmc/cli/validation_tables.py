"""A validation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.common.numbers import percent
from afmc.common.tables import Listing
from afmc.evaluation.results import CalibrationCost, Classification, Estimate, Validation
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
    )
    more = [_matrices(result)] if result.matrices else []
    return Group(table, *more, where + _besides(result))


def render_classification(result: Classification, target: Target) -> RenderableType:
    """A row for each condition."""
    from rich.console import Group

    rows = [("digital", f"{result.digital_accuracy:.2%}", "", "", "")]
    for outcome in result.outcomes:
        estimate = outcome.accuracy
        rows.append(
            (
                str(outcome.condition),
                f"{estimate.mean:.2%}",
                "" if estimate.std is None else f"{estimate.std:.2%}",
                " to ".join(f"{value:.2%}" for value in estimate.interval_95 or ()),
                f"{outcome.top1_agreement.mean:.2%}",
            )
        )
    headings = ("accuracy", "std", "95 % interval of the mean", "same class")
    table = Listing(_title(result, target), ("condition", *headings), rows, names=True)
    where = (
        f"{result.model} on {result.samples:,} samples of {result.data}; seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
    )
    return Group(table, where + _besides(result))


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


def _title(result: Validation | Classification, target: Target) -> str:
    return f"{target.name}, mean of {result.instances}, measured in simulation"


def _one(result: Validation, target: Target) -> RenderableType:
    """A row for each figure."""
    rows = []
    for name, digital, estimate, form in (
        ("perplexity", f"{result.digital_perplexity:.4f}", result.perplexity, "{:,.4f}"),
        ("KL divergence, nats a token", "", result.kl_divergence, "{:.5f}"),
        ("top-1 agreement", "", result.top1_agreement, "{:.2%}"),
        (
            "tokens a second, this machine",
            f"{result.tokens_per_s.digital:.0f}",
            Estimate(mean=result.tokens_per_s.analog),
            "{:.0f}",
        ),
    ):
        spread = form.format(estimate.std) if estimate.std is not None else ""
        interval = " to ".join(form.format(v) for v in estimate.interval_95 or ())
        rows.append((name, digital, form.format(estimate.mean), spread, interval))
    return Listing(
        f"{_title(result, target)}; {result.outcomes[0].condition}",
        ("figure", "digital", "on tiles", "std", "95 % interval of the mean"),
        rows,
        names=True,
    )


def _several(result: Validation, target: Target) -> RenderableType:
    """A row for each condition."""
    rows = [("digital", f"{result.digital_perplexity:.4f}", "", "", "", "")]
    for outcome in result.outcomes:
        estimate = outcome.perplexity
        rows.append(
            (
                str(outcome.condition),
                f"{estimate.mean:,.4f}",
                "" if estimate.std is None else f"{estimate.std:,.4f}",
                " to ".join(f"{v:,.4f}" for v in estimate.interval_95 or ()),
                f"{outcome.kl_divergence.mean:.5f}",
                f"{outcome.top1_agreement.mean:.2%}",
            )
        )
    headings = ("perplexity", "std", "95 % interval", "KL, nats", "same token")
    return Listing(_title(result, target), ("condition", *headings), rows, names=True)


def _matrices(result: Validation) -> RenderableType:
    """Those whose products are most wrong."""
    condition = result.outcomes[0].condition
    worst = sorted(result.matrices, key=lambda each: -each.relative_error.mean)
    rows = []
    for each in worst[:WORST]:
        std = each.relative_error.std
        error = percent(each.relative_error.mean, 2)
        rows.append((each.name, error, "" if std is None else percent(std, 2)))
    return Listing(
        f"matrices whose products are most wrong, {condition}; all are in --json",
        ("matrix", "relative error of the products", "std"),
        rows,
        names=True,
    )


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
