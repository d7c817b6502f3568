"""A validation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.common.tables import Listing
from afmc.evaluation.figures import Shown, exact, shown
from afmc.evaluation.results import CalibrationCost, Classification, Speeds, Validation
from afmc.evaluation.statistics import FEWEST
from afmc.targets import Target

WORST = 10
"""Matrices that are listed."""
NO_NOISE = "no noise"
"""The model on the target's converters with nothing else imperfect."""

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: Validation, target: Target) -> RenderableType:
    from rich.console import Group

    table = _one(result, target) if len(result.outcomes) == 1 else _several(result, target)
    where = (
        f"{result.model} on {result.tokens:,} tokens of {result.text} in windows of "
        f"{result.window} (the first token of a window is not scored); seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
        + _speed(result.simulation_tokens_per_s, "tokens/s")
    )
    more = [_matrices(result)] if result.matrices else []
    return Group(table, *more, *_verdict(result), where + _besides(result))


def render_classification(result: Classification, target: Target) -> RenderableType:
    """A row for each condition."""
    from rich.console import Group

    headings = ("condition", "accuracy", *_spreads(result), "same class")
    blank = ("",) * (len(headings) - 2)
    rows = [("digital", exact(result.digital_accuracy, share=True), *blank)]
    for outcome in result.outcomes:
        accuracy = shown(outcome.accuracy, share=True)
        rows.append(
            (
                str(outcome.condition),
                accuracy.mean,
                *_spread(accuracy, result),
                shown(outcome.top1_agreement, share=True).mean,
            )
        )
    table = Listing(_title(result, target), headings, rows, names=True)
    where = (
        f"{result.model} on {result.samples:,} samples of {result.data}; seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
        + _speed(result.simulation_samples_per_s, "samples/s")
    )
    return Group(table, *_verdict(result), where + _besides(result))


def _verdict(result: Validation | Classification) -> tuple[str, ...]:
    return () if result.verdict is None else ("\n".join(result.verdict.lines) + "\n",)


def _speed(speeds: Speeds, unit: str) -> str:
    """How fast this machine was, in a line; it says nothing about the hardware."""
    digital, analog = (
        f"{each.mean:,.0f}" + ("" if each.std is None else f" ± {each.std:,.0f}")
        for each in (speeds.digital, speeds.analog)
    )
    figures = f"{digital} {unit} digital, {analog} on tiles"
    return f"\nSpeed of this simulation: {figures} (measured; ± std)."


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
    return f"{target.name}, {_drawn(result)}, measured in simulation"


def _one(result: Validation, target: Target) -> RenderableType:
    """A row for each figure."""
    others = _others(result)
    rows = []
    for name, digital, measured in (
        ("perplexity", exact(result.digital_perplexity), shown(result.perplexity)),
        ("KL divergence, nats a token", "", shown(result.kl_divergence)),
        ("top-1 agreement", "", shown(result.top1_agreement, share=True)),
    ):
        alone = [figure if name == "perplexity" else "" for figure in others.values()]
        rows.append((name, digital, *alone, measured.mean, *_spread(measured, result)))
    return Listing(
        f"{_title(result, target)}; {result.outcomes[0].condition}",
        ("figure", "digital", *others, "on tiles", *_spreads(result)),
        rows,
        names=True,
    )


def _others(result: Validation) -> dict[str, str]:
    """Perplexities beside the digital one and that on tiles, by what they are of."""
    found = {}
    if result.rounded is not None:
        found[result.rounded.name] = exact(result.rounded.perplexity)
    if result.without_noise is not None:
        found[NO_NOISE] = exact(result.without_noise.perplexity)
    return found


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
    headings = ("condition", "perplexity", *_spreads(result), "KL, nats", "same token")
    blank = ("",) * (len(headings) - 2)
    rows = [("digital", exact(result.digital_perplexity), *blank)]
    rows += [(name, figure, *blank) for name, figure in _others(result).items()]
    for outcome in result.outcomes:
        perplexity = shown(outcome.perplexity)
        rows.append(
            (
                str(outcome.condition),
                perplexity.mean,
                *_spread(perplexity, result),
                shown(outcome.kl_divergence).mean,
                shown(outcome.top1_agreement, share=True).mean,
            )
        )
    return Listing(_title(result, target), headings, rows, names=True)


def _matrices(result: Validation) -> RenderableType:
    """Those whose products are most wrong."""
    condition = result.outcomes[0].condition
    worst = sorted(result.matrices, key=lambda each: -each.relative_error.mean)
    rows = []
    for each in worst[:WORST]:
        error = shown(each.relative_error, share=True)
        rows.append((each.name, error.mean, *_spread(error, result)))
    return Listing(
        f"matrices whose products are most wrong, {condition}; all are in --json",
        ("matrix", "relative error of the products", *_spreads(result)),
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
