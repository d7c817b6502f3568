"""Several compiles side by side: what they take, and in what they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from afmc.artifact import Artifact, read
from afmc.costs import Workload, estimate
from afmc.errors import OptionError
from afmc.inspect.summary import summarise
from afmc.inspect.tables import Listing
from afmc.ir import SCHEMA_VERSION

if TYPE_CHECKING:
    from rich.console import RenderableType

Models = Literal["the same", "the same matrices", "different"]
Show = Callable[[Any], str]

DIFFERS = "≠"


def _whole(value: int) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


def _number(value: float) -> str:
    return f"{value:,.6g}"


# Figures by their name in JSON: how they are called in the terminal, and how they are printed.
FIGURES: dict[str, tuple[str, Show]] = {
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
    "turns": ("turns, at most", _whole),
    "mean_turns": ("turns, on average", _number),
    "reads": ("reads one after the other", _number),
    "border_bytes": ("bytes across chips", _number),
    "calibration": ("input ranges", str),
    "defects": ("defects", str),
    "lever": ("best lever", str),
}
# The same of what a workload costs.
COST_FIGURES: dict[str, tuple[str, Show]] = {
    "energy_nJ": ("nJ a token", _number),
    "latency_ns": ("ns", _number),
    "interval_ns": ("ns between tokens", _number),
    "tokens_per_s": ("tokens a second", _number),
    "area_mm2": ("mm2", _number),
}


def compare_json(
    directories: Sequence[Path],
    workloads: Sequence[Workload] = (Workload(context=512), Workload(context=2048)),
) -> dict[str, Any]:
    """``compare --json``: of each figure, option and key of the target a value a directory.

    None stands for what a compile does not have, or what is not known. Of figures and costs (of
    `workloads`) all are there, of options and the target's keys those that differ. Raises
    OptionError for fewer than two directories.
    """
    if len(directories) < 2:
        raise OptionError("compare needs two folders or more: afmc compare DIR1 DIR2.")
    artifacts = [read(directory) for directory in directories]
    options = [
        {
            f"{step.name}.{option}": value
            for step in artifact.program.applied
            for option, value in step.options.items()
        }
        for artifact in artifacts
    ]
    targets = [
        {key: value for key, value, _ in artifact.target.figures()} for artifact in artifacts
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "directories": [str(directory) for directory in directories],
        "models": _models(artifacts),
        "figures": _rows([_figures(artifact) for artifact in artifacts]),
        "costs": _rows([_costs(artifact, workloads) for artifact in artifacts]),
        "options": [row for row in _rows(options) if row["differs"]],
        "target": [row for row in _rows(targets) if row["differs"]],
    }


def _costs(artifact: Artifact, workloads: Sequence[Workload]) -> dict[str, Any]:
    """By workload, ``decode, context 512, batch 1: energy_nJ``."""
    found = {}
    for each in workloads:
        costs = estimate(artifact.program, artifact.target, each).to_json()
        title = f"{each.phase}, context {each.context:,}, batch {each.batch:,}"
        found.update({f"{title}: {key}": costs[key] for key in COST_FIGURES})
    return found


def _figures(artifact: Artifact) -> dict[str, Any]:
    program = artifact.program
    summary = summarise(program, artifact.target, artifact.levers)
    replication, placing = summary["replication"], program.placing
    best = min(artifact.levers, key=lambda lever: lever.tiles, default=None)
    more = {
        "weights": program.model.parameters,
        "macs_digital_fraction": 1 - summary["macs_analog_fraction"],
        "replicas": replication["replicas"] if replication else 0,
        "reads": placing.reads if placing else None,
        "border_bytes": placing.border_bytes if placing else None,
        "calibration": program.calibration.method if program.calibration else None,
        "defects": program.defects.name if program.defects else None,
        "lever": None if best is None else f"{best.change} ({best.tiles:,} tiles)",
    }
    every = summary | more
    return {name: every[name] for name in FIGURES}


def _models(artifacts: Sequence[Artifact]) -> Models:
    programs = [artifact.program for artifact in artifacts]
    shapes = {
        tuple((m.name, m.rows, m.cols, m.copies) for m in program.matrices) for program in programs
    }
    if len(shapes) > 1:
        return "different"
    hashes = {program.model.sha256 for program in programs}
    return "the same" if len(hashes) == 1 else "the same matrices"


def _rows(each: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each key of any, in the order of the first that has it."""
    keys = dict.fromkeys(key for values in each for key in values)
    rows = []
    for key in keys:
        values = [one.get(key) for one in each]
        differs = any(value != values[0] for value in values)
        rows.append({"name": key, "values": values, "differs": differs})
    return rows


def render_compare(found: Mapping[str, Any]) -> RenderableType:
    """The same for a person."""
    from rich.console import Group
    from rich.text import Text

    titles = {
        "figures": f"compiles; {DIFFERS}: differs",
        "costs": "costs",
        "options": "options that differ; -: not set",
        "target": "figures of the target that differ; -: not set",
    }
    headings = ("", "figure", *found["directories"])
    parts: list[RenderableType] = [Text(sentence) for sentence in _sentences(found)]
    parts += [
        Listing(title, headings, _cells(found[name]), left=headings)
        for name, title in titles.items()
        if found[name]
    ]
    return Group(*parts)


def _sentences(found: Mapping[str, Any]) -> Iterator[str]:
    if found["models"] == "the same matrices":
        yield (
            "The models have the same matrices but not the same hash: other weights, or one of "
            "them is shapes only."
        )
    elif found["models"] == "different":
        [names] = [row["values"] for row in found["figures"] if row["name"] == "model"]
        yield f"These are different models: {', '.join(dict.fromkeys(names))}."
    for name, what in (("options", "options of passes"), ("target", "figures of the target")):
        if not found[name]:
            yield f"All {what} are equal."


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        label, show = _shown(row["name"])
        values = ["-" if value is None else show(value) for value in row["values"]]
        yield (DIFFERS if row["differs"] else "", label, *values)


def _shown(name: str) -> tuple[str, Show]:
    """How a figure is called and printed."""
    workload, _, cost = name.rpartition(": ")
    if workload and cost in COST_FIGURES:
        label, show = COST_FIGURES[cost]
        return f"{workload}: {label}", show
    return FIGURES.get(name, (name, _plain))


def _plain(value: Any) -> str:
    """A value of an option or a key, as ``--set`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
