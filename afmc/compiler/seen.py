"""What the steps of a recovery look at: weights, and what matrices read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from afmc.compiler.context import Context
from afmc.compiler.observe import count_of, readers_of, to_calibrate
from afmc.lower.weights import IdealWeights
from afmc.program.model import Matrix, is_bank, names_in_tiles
from afmc.program.program import Program
from afmc.recovery.spectrum import look_at_activations

EXPERTS = 4
"""Experts of a bank whose weights stand for all in choices that are made for the bank."""


def see_activations(program: Program, context: Context) -> None:
    """Looks at what matrices read, once for all steps."""
    if context.seen is not None:
        return
    windows = context.observed.batches(context.checked.options.calibration_tokens)
    with context.clock.stage("activations"):
        total = count_of(windows)
        context.seen = look_at_activations(
            context.observed.module(program),
            readers_of(program),
            windows,
            lambda done: context.progress("activations", done, total),
        )
        context.seen_tokens = total


def weights_of(program: Program, context: Context) -> Iterator[tuple[Matrix, Tensor]]:
    """Weights [cols, rows] as the model has them, of a bank those of some experts."""
    plain = replace(program, recovery=None)
    weights = IdealWeights(context.loaded, plain)
    for matrix in to_calibrate(program):
        names = [name for name in names_in_tiles(matrix)[:EXPERTS] if name in weights]
        for name in names if is_bank(matrix) else names[:1]:
            yield matrix, weights[name]
