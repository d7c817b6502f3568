"""How a comparison is put into words: names of figures, values, and what to say first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from afmc.compare.accuracy import Perplexity
from afmc.compare.comparison import Comparison
from afmc.compare.rows import Row
from afmc.evaluation.figures import exact, shown
from afmc.evaluation.results import Estimate

Show = Callable[[Any], str]

DIFFERS = "≠"


def _whole(value: int) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return f"{value:,.6g}"


_FIGURES: dict[str, tuple[str, Show]] = {
    "model": ("model", str),
    "architecture": ("architecture", str),
    "shapes_only": ("shapes only", lambda value: "yes" if value else "no"),
    "weights": ("weights of the model", _whole),
    "target": ("target", str),
    "matrices_analog": ("matrices on tiles", _whole),
    "matrices_digital": ("matrices digital", _whole),
    "weights_analog": ("weights on tiles", _whole),
    "weights_digital": ("weights digital", _whole),
    "macs_digital_fraction": ("digital multiply-accumulates", _share),
    "blocks": ("blocks", _whole),
    "replicas": ("blocks that are replicas", _whole),
    "tiles_used": ("tiles", _whole),
    "tiles_lower_bound": ("tiles, at least", _whole),
    "solver_status": ("proof", str),
    "gap": ("gap", _share),
    "chips_used": ("chips", _whole),
    "utilization": ("cells used", _share),
    "rule": ("rule", str),
    "objective": ("objective", str),
    "turns": ("sequential reads, at most", _whole),
    "mean_turns": ("sequential reads, on average", _number),
    "reads": ("reads one after the other", _number),
    "border_bytes": ("bytes across chips", _number),
    "calibration": ("input ranges", str),
    "defects": ("defects", str),
    "lever": ("best lever", str),
}
_COST_FIGURES: dict[str, tuple[str, Show]] = {
    "energy_nJ": ("nJ a token", _number),
    "latency_ns": ("ns", _number),
    "interval_ns": ("ns between tokens", _number),
    "tokens_per_s": ("tokens a second", _number),
    "area_mm2": ("mm2", _number),
}


def figure(row: Row) -> tuple[str, list[str]]:
    """How a figure is called, and its values."""
    return _in_words(row, *_FIGURES[row.name])


def cost(row: Row) -> tuple[str, list[str]]:
    workload, _, key = row.name.rpartition(": ")
    label, show = _COST_FIGURES[key]
    return _in_words(row, f"{workload}: {label}", show)


def perplexity(row: Row) -> tuple[str, list[str]]:
    return _in_words(row, row.name, _estimate)


def setting(row: Row) -> tuple[str, list[str]]:
    """An option or a key of the target, as ``--set`` takes it."""
    return _in_words(row, row.name, _plain)


def _in_words(row: Row, label: str, show: Show) -> tuple[str, list[str]]:
    return label, ["-" if value is None else show(value) for value in row.values]


def _estimate(value: Perplexity) -> str:
    if value.instances is None:
        return exact(value.mean)
    figure = shown(
        Estimate(mean=value.mean, std=value.std, interval_95=value.interval_95, values=value.values)
    )
    chips = "1 instance" if value.instances == 1 else f"{value.instances} instances"
    if figure.interval:
        return f"{figure.mean} (95 %: {figure.interval}, {chips})"
    return f"{figure.mean} ({figure.values or chips})"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def sentences(found: Comparison) -> Iterator[str]:
    """What a reader should know before the tables."""
    if found.models == "the same matrices":
        yield (
            "The models have the same matrices but not the same hash: other weights, or one of "
            "them is shapes only."
        )
    elif found.models == "different":
        names = dict.fromkeys(kept.program.model.name for kept in found.compiles)
        yield f"These are different models: {', '.join(names)}."
    for rows, what in (
        (found.options, "options of passes"),
        (found.target, "figures of the target"),
    ):
        if not rows:
            yield f"All {what} are equal."
