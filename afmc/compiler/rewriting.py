"""Exact rewrites of the digital model as a step of a compile, before its graph is mapped."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from afmc.compiler.context import Context
from afmc.compiler.observe import Observed
from afmc.frontends.graph.export import export
from afmc.program.program import Program
from afmc.program.rewriting import RewriteStep, Rewriting
from afmc.rewrite import rewrite

_TOKENS = 512
"""Of the calibration text, on which outputs are compared."""


def rewritten(context: Context) -> Rewriting | None:
    """Rewrites the model of a context as its options say; None where they ask for nothing."""
    wanted, observed = context.checked.options.rewrite, context.observed
    if not wanted:
        return None
    reason = _impossible(context)
    if reason:
        steps = tuple(RewriteStep(name, False, 0, 0, reason) for name in wanted)
        return Rewriting(0, "", "", 0, steps)
    context.progress("rewrite", 0, 0)
    with context.clock.stage("rewrite"):
        loaded = context.loaded
        windows = [each for each in observed.batches(_TOKENS) if isinstance(each, Tensor)]
        tokens = torch.cat(windows)
        exported = export(loaded.module, dynamic=False)
        found = rewrite(loaded.module, exported, tokens, wanted)
    context.loaded = replace(loaded, module=found.module)
    context.observed = Observed(context.loaded, observed.text, observed.samples)
    count = tokens.numel()
    return Rewriting(found.seed, observed.name, observed.sha256, count, found.steps)


def with_rewriting(program: Program, rewriting: Rewriting | None) -> Program:
    """The program with the rewrites that its weights have."""
    return replace(program, rewriting=rewriting)


def _impossible(context: Context) -> str:
    """Why the model is not rewritten, or nothing."""
    loaded = context.loaded
    if context.shapes_only:
        return "Weights are not read."
    if loaded.graph is not None or loaded.tokenizer is None:
        return "There is no text on which outputs can be compared."
    if loaded.on_disk is not None:
        return "The weights stay on disk."
    if loaded.input_ranges or loaded.training is not None:
        return "The model was trained with its own input ranges, for its weights as they are."
    return ""
