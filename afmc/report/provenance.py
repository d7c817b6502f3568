"""Where everything on the page comes from: versions, hashes, options, figures and seeds."""

from __future__ import annotations

import json
from typing import Any

from afmc.program.compiled import CompiledProgram
from afmc.program.program import SCHEMA_VERSION
from afmc.program.trained_for import described, notes
from afmc.targets.units import unit_of

Rows = list[tuple[str, ...]]


def versions(compiled: CompiledProgram) -> Rows:
    program, target = compiled.program, compiled.target
    model = program.model
    rows: Rows = [
        ("compiled with afmc", compiled.version),
        ("schema of the program", str(SCHEMA_VERSION)),
        ("model", f"{model.name} ({model.architecture}), {model.parameters:,} weights"),
        (
            "SHA-256 of the configuration" if model.shapes_only else "SHA-256 of the weights",
            model.sha256,
        ),
        ("target", f"{target.name}, schema {target.schema_version}: {target.title}"),
        *(("set by the user", f"target.{k}={_text(v)}") for k, v in target.overrides.items()),
    ]
    if program.training is not None:
        rows.append(("trained for", described(program.training)))
    rows += [("note", note) for note in notes(program, target)]
    if program.calibration is not None:
        calibration = program.calibration
        rows += [
            (
                "input ranges",
                f"{calibration.method} over {calibration.tokens:,} tokens of {calibration.text}",
            ),
            ("SHA-256 of that text", calibration.text_sha256),
        ]
    if program.routing is not None:
        rows.append(("routing of experts", program.routing.source))
    if program.defects is not None:
        rows.append(("map of defects", program.defects.name))
    return rows


def options(compiled: CompiledProgram) -> Rows:
    """Pass, option, value, in the order in which the passes ran."""
    return [
        (step.name, key, _text(value))
        for step in compiled.program.applied
        for key, value in (step.options or {"": "no options"}).items()
    ]


def figures(compiled: CompiledProgram) -> Rows:
    """Key, value with unit, basis, source, note."""
    return [
        (
            key,
            f"{_text(value)} {unit_of(key)}".strip(),
            origin.basis,
            origin.source,
            origin.note or "",
        )
        for key, value, origin in compiled.target.figures()
    ]


def measured(compiled: CompiledProgram) -> Rows:
    found = dict(compiled.measured)
    stages = found.pop("stages_s", {})
    rows: Rows = [
        ("wall time", f"{found.pop('wall_s'):.2f} s"),
        ("largest resident memory", f"{found.pop('peak_rss_mb'):,.0f} MB"),
        *((f"stage {name}", f"{seconds:.2f} s") for name, seconds in stages.items()),
    ]
    found.pop("schema_version", None)
    return rows + [(name, _text(value)) for name, value in found.items()]


def not_on_tiles(compiled: CompiledProgram) -> Rows:
    """Digital operators one by one, those with most weights first: operation, count, weights,
    reason."""
    return [
        (
            rest.operation,
            f"{rest.count:,}",
            f"{rest.weights:,}" if rest.weights else "",
            rest.reason,
        )
        for rest in sorted(compiled.program.remainder, key=lambda r: (-r.weights, -r.count))
    ]


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case float():
            return f"{value:.10g}"
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
