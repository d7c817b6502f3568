"""Compiling again for other defects, with as many placements as before as can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from afmc.compiler.pipeline import following
from afmc.errors import OptionError, PassError
from afmc.passes import Pass, name_of, options_of
from afmc.passes.placing.around_defects import move
from afmc.program.compiled import CompiledProgram
from afmc.program.observed import Routing
from afmc.program.program import LINE, ORDER, Applied, Program
from afmc.program.rules import problems
from afmc.targets import Target


def keep(
    start: Program,
    target: Target,
    passes: Sequence[Pass],
    kept: CompiledProgram,
    calibrated: tuple[str, str],
    directory: Path,
) -> Program:
    """The kept program for the defects of `start`: only blocks that these hit are elsewhere.

    `calibrated` are the method and the SHA-256 of the text by which input ranges would be found.
    Raises OptionError, in one sentence, when the two are not of the same model, target and passes.
    """
    difference = _difference(start, target, passes, kept, calibrated)
    if difference:
        raise OptionError(
            f"--keep {directory}: it was compiled {difference}; compile without --keep."
        )
    moved = move(replace(kept.program, defects=start.defects), target)
    elsewhere = int((moved.placements != kept.program.placements).sum())
    if elsewhere:
        moved = replace(moved, placing=None)  # what it says was of the other placements
    # For the author of `move`: what it makes is held to the rules as a pass's work is.
    plain = replace(
        moved,
        applied=tuple(Applied(name_of(step), options_of(step)) for step in passes),
        moved=elsewhere,
        repair=None,
        orders=np.zeros(0, ORDER),
        lines=np.zeros(0, LINE),
    )
    broken = next(problems(plain, target), None)
    if broken:
        raise PassError(f"after moving blocks: {broken}")
    return plain


def _difference(
    start: Program,
    target: Target,
    passes: Sequence[Pass],
    kept: CompiledProgram,
    calibrated: tuple[str, str],
) -> str:
    """How the kept program was compiled otherwise; empty for not at all."""
    old = kept.program
    if old.model.sha256 != start.model.sha256:
        return f"from other weights than those of {start.model.name}"
    if kept.target.name != target.name:
        return f"for {kept.target.name}, not for {target.name}"
    before, now = ({key: v for key, v, _ in each.figures()} for each in (kept.target, target))
    for key in before | now:
        if before.get(key) != now.get(key):
            return f"with target.{key}={_shown(before.get(key))}, not {_shown(now.get(key))}"
    names = [step.name for step in old.applied], [name_of(step) for step in passes]
    if names[0] != names[1]:
        return f"with the passes {','.join(names[0])}, not {','.join(names[1])}"
    others = []
    for applied, step in zip(old.applied, passes, strict=True):
        options = options_of(step)
        for key in {**applied.options, **options}:
            values = [_shown(each.get(key)) for each in (applied.options, options)]
            if values[0] != values[1]:
                what = f"with {applied.name}.{key}={values[0]}, not {values[1]}"
                others.append((key in following(step), what))
    if others:
        return min(others)[1]  # one that was asked for before those that follow it
    rewrites = [each.rewriting.applied if each.rewriting else () for each in (old, start)]
    if rewrites[0] != rewrites[1]:
        said = [", ".join(each) or "no" for each in rewrites]
        return f"with {said[0]} rewrites of its weights, not {said[1]}"
    if old.model.shapes_only != start.model.shapes_only:
        return f"{'with' if old.model.shapes_only else 'without'} --shapes-only"
    if start.routing is not None and not _alike(start.routing, old.routing):
        return f"with another routing than {start.routing.source}"
    if old.calibration is not None:
        method, text = calibrated
        if old.calibration.method != method:
            return f"with --calibration {old.calibration.method}, not {method}"
        if old.calibration.text_sha256 != text:
            return f"with input ranges from another text ({old.calibration.text})"
    return ""


def _alike(one: Routing, other: Routing | None) -> bool:
    return (
        other is not None
        and one.experts.keys() == other.experts.keys()
        and all(np.array_equal(one.experts[key], other.experts[key]) for key in one.experts)
    )


def _shown(value: Any) -> str:
    """As one would type it; lists and tuples are alike."""
    return value if isinstance(value, str) else json.dumps(value)
