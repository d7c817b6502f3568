"""The hardware that a model was trained for, and where the target is another one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from afmc.program.model import even_pieces
from afmc.program.observed import Training
from afmc.program.program import Program
from afmc.targets import Target

_SCOPES = {"column": "each column", "tile": "a whole row slice"}
_CLIPS = {
    "matrix": "standard deviations of the matrix",
    "column": "standard deviations of each column",
}


def described(training: Training) -> str:
    """In one line."""
    inputs, outputs = _resolution(training.input_steps), _resolution(training.output_steps)
    parts = [f"inputs of {inputs}, outputs of {outputs}"]
    if training.output_bound is not None:
        parts.append(
            f"output bound {training.output_bound:g} by the largest weight of "
            f"{_SCOPES[training.output_range]}"
        )
    if training.ranges == "dynamic":
        parts.append("an input range for each token")
    if training.max_rows is not None:
        parts.append(f"row slices of at most {training.max_rows:,}")
    if training.clip == "learned":
        parts.append("weights within learned limits")
    elif training.clip != "none" and training.clip_sigma:
        parts.append(f"weights within {training.clip_sigma:g} {_CLIPS[training.clip]}")
    if training.weight_steps is not None:
        parts.append(f"weights of {_resolution(training.weight_steps)}")
    if training.weight_noise:
        scope = _SCOPES[training.weight_noise_of]
        parts.append(f"weight noise {training.weight_noise:g} of the largest weight of {scope}")
    if training.output_noise:
        parts.append(f"output noise {training.output_noise:g}")
    return f"{', '.join(parts)}; by {training.source}"


def notes(program: Program, target: Target) -> tuple[str, ...]:
    """How the target differs from what the model was trained for, in sentences; what holds is the
    target's, and how to set it to the model's is said."""
    training = program.training
    several = tuple(_not_cut_alike(program))
    if training is None:
        return several
    return (*_converters(training, target), *_ranges(training, target), *several)


def _converters(training: Training, target: Target) -> Iterator[str]:
    for name, wanted, has in (
        ("input", training.input_steps, target.input.steps),
        ("output", training.output_steps, target.output.steps),
    ):
        if wanted == has:
            continue
        bits = _bits(wanted)
        value = "none" if wanted is None else None if bits is None else str(bits)
        hint = f" (--set target.{name}.bits={value} for the model's)" if value else ""
        yield (
            f"trained for {name}s of {_resolution(wanted)}, but those of {target.name} are of "
            f"{_resolution(has)}{hint}"
        )
    if training.output_bound is None or target.output.steps is None:
        return
    if training.output_bound != target.output.bound:
        yield (
            f"trained for an output bound of {training.output_bound:g}, but that of {target.name} "
            f"is {target.output.bound:g} (--set target.output.bound={training.output_bound:g} for "
            f"the model's)"
        )
    if training.output_range != target.output.range:
        yield (
            f"trained for output ranges by the largest weight of {_SCOPES[training.output_range]}, "
            f"but those of {target.name} go by a {target.output.range}'s (--set "
            f"target.output.range={training.output_range} for the model's)"
        )


def _ranges(training: Training, target: Target) -> Iterator[str]:
    if target.needs_input_range and training.ranges == "dynamic":
        yield "trained with an input range for each token, but here every matrix has a fixed one"
    elif target.needs_input_range and training.ranges == "none":
        yield "trained without input ranges: those here are none that it was trained with"


def _not_cut_alike(program: Program) -> Iterator[str]:
    """Blocks with rows of several slices that have ranges of their own."""
    count = 0
    for number, group in enumerate(program.groups):
        ranges = program.by_name[group.members[0]].slice_ranges
        if not ranges:
            continue
        starts = np.cumsum([0, *even_pieces(group.rows, len(ranges))[:-1]])
        blocks = program.blocks[program.blocks["group"] == number]
        first, last = blocks["row"], blocks["row"] + blocks["rows"] - 1
        pieces = [np.searchsorted(starts, rows, side="right") for rows in (first, last)]
        if (pieces[0] != pieces[1]).any():
            count += len(group.members)
    if count:
        matrices = "1 matrix has" if count == 1 else f"{count:,} matrices have"
        yield (
            f"{matrices} input ranges for row slices that are cut at other rows here: a block that "
            f"has rows of several of them takes the largest of their ranges"
        )


def _bits(steps: float | None) -> int | None:
    """Bits of a converter with so many steps, where a whole number of bits has them."""
    bits = None if steps is None else math.log2(steps + 2)
    return None if bits is None or bits != int(bits) else int(bits)


def _resolution(steps: float | None) -> str:
    if steps is None:
        return "any resolution"
    bits = _bits(steps)
    return f"{steps:g} steps" if bits is None else f"{bits} bits"
