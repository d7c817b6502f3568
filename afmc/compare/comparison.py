"""Several compiles side by side: what they take, what a token costs, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from afmc.compare.accuracy import Measured, perplexities
from afmc.compare.rows import Row, different, rows_of
from afmc.costs import Costs, Workload, estimate
from afmc.costs.workload import usual_workloads
from afmc.errors import OptionError
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import read_program
from afmc.program.program import SCHEMA_VERSION

Models = Literal["the same", "the same matrices", "different"]

FIGURES = (
    "model", "architecture", "shapes_only", "weights", "target", "matrices_analog",
    "matrices_digital", "weights_analog", "weights_digital", "macs_digital_fraction", "blocks",
    "replicas", "tiles_used", "tiles_lower_bound", "solver_status", "gap", "chips_used",
    "utilization", "rule", "objective", "turns", "mean_turns", "reads", "border_bytes",
    "calibration", "defects", "lever",
)  # fmt: skip
COST_FIGURES = ("energy_nJ", "latency_ns", "interval_ns", "tokens_per_s", "area_mm2")


@dataclass(frozen=True)
class Comparison:
    """Rows have a value a directory."""

    directories: tuple[Path, ...]
    compiles: tuple[CompiledProgram, ...]
    models: Models
    figures: tuple[Row, ...]
    by_workload: tuple[tuple[str, tuple[Costs, ...]], ...]
    """What a token costs in each directory, under workloads as they are called in words."""
    accuracy: tuple[Measured, ...]
    """Perplexities, as far as validations were given."""
    options: tuple[Row, ...]
    """Options of passes that differ."""
    target: tuple[Row, ...]
    """Its figures that differ."""

    @property
    def costs(self) -> tuple[Row, ...]:
        """By workload, ``decode, context 512, batch 1: energy_nJ``."""
        return tuple(
            Row(f"{title}: {key}", tuple(one[key] for one in figures))
            for title, each in self.by_workload
            for figures in [[costs.to_json() for costs in each]]
            for key in COST_FIGURES
        )

    @property
    def parts(self) -> tuple[Row, ...]:
        """The energy of each part of a token in nJ, by workload."""
        return tuple(
            Row(f"{title}: {row.name}", row.values)
            for title, each in self.by_workload
            for row in rows_of([{part.name: part.energy_nJ for part in c.parts} for c in each])
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, as ``afmc compare --json`` prints it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "directories": [str(directory) for directory in self.directories],
            "models": self.models,
            "figures": [row.to_json() for row in self.figures],
            "costs": [row.to_json() for row in self.costs],
            "parts": [row.to_json() for row in self.parts],
            "accuracy": [_accuracy(row) for row in self.accuracy],
            "options": [row.to_json() for row in self.options],
            "target": [row.to_json() for row in self.target],
        }


def compare(
    directories: Sequence[str | Path],
    workloads: Sequence[Workload] | None = None,
    validations: Sequence[str | Path] = (),
) -> Comparison:
    """Lists all figures and costs (of `workloads`, by themselves a token after 512 and 2,048 others
    where all models take so many), and those options and keys of the target that
    differ.

    `validations` are files of what ``afmc validate DIR --json`` printed, each of the directory
    whose model and target it names, or ``DIR=FILE``. Raises OptionError for fewer than two
    directories, and for a validation that is of none of them.
    """
    if len(directories) < 2:
        raise OptionError("compare needs two folders or more: afmc compare DIR1 DIR2.")
    paths = tuple(map(Path, directories))
    compiles = tuple(map(read_program, paths))
    if workloads is None:
        workloads = usual_workloads([each.program.model for each in compiles])
    accuracy = perplexities(paths, compiles, validations)
    options = [
        {
            f"{step.name}.{option}": value
            for step in compiled.program.applied
            for option, value in step.options.items()
        }
        for compiled in compiles
    ]
    targets = [{key: value for key, value, _ in compiled.target.figures()} for compiled in compiles]
    return Comparison(
        directories=paths,
        compiles=compiles,
        models=_models(compiles),
        figures=rows_of([_figures(compiled) for compiled in compiles]),
        by_workload=tuple(
            (str(each), tuple(estimate(kept.program, kept.target, each) for kept in compiles))
            for each in workloads
        ),
        accuracy=accuracy,
        options=tuple(different(rows_of(options))),
        target=tuple(different(rows_of(targets))),
    )


def _figures(compiled: CompiledProgram) -> dict[str, Any]:
    program = compiled.program
    summary = compiled.summary
    replication, placing = summary.replication, program.placing
    best = min(compiled.levers, key=lambda lever: lever.tiles, default=None)
    more = {
        "weights": program.model.parameters,
        "macs_digital_fraction": 1 - summary.macs_analog_fraction,
        "replicas": replication.replicas if replication else 0,
        "reads": placing.reads if placing else None,
        "border_bytes": placing.border_bytes if placing else None,
        "calibration": program.calibration.method if program.calibration else None,
        "defects": program.defects.name if program.defects else None,
        "lever": None if best is None else f"{best.change} ({best.tiles:,} tiles)",
    }
    every = {**summary.to_json(), **more}
    return {name: every[name] for name in FIGURES}


def _models(compiles: Sequence[CompiledProgram]) -> Models:
    programs = [compiled.program for compiled in compiles]
    shapes = {
        tuple((m.name, m.rows, m.cols, m.copies) for m in program.matrices) for program in programs
    }
    if len(shapes) > 1:
        return "different"
    hashes = {program.model.sha256 for program in programs}
    return "the same" if len(hashes) == 1 else "the same matrices"


def _accuracy(row: Measured) -> dict[str, Any]:
    return row.to_json() | {"values": [value and asdict(value) for value in row.values]}
