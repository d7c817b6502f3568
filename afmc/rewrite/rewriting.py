"""Rewrites one after the other, each measured on text and taken back where outputs change."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from afmc.errors import OptionError
from afmc.frontends.graph.export import first_tensor
from afmc.program.rewriting import NAMES, RewriteStep
from afmc.rewrite.facts import Facts, Outcome, Weights
from afmc.rewrite.heads import heads
from afmc.rewrite.norms import fold_norms
from afmc.rewrite.stream import residual
from afmc.rewrite.untie import untie

TOLERANCE = 1e-4
"""Largest difference of a logit that a rewrite may make, by the root mean square of all logits."""


class Rewrite(Protocol):
    """Changes weights of a model that its outputs do not show."""

    def __call__(self, facts: Facts, weights: Weights, seed: int, /) -> Outcome: ...


REWRITES: Mapping[str, Rewrite] = dict(
    zip(NAMES, (untie, fold_norms, residual, heads), strict=True)
)
"""By name, in the order in which they build on one another."""


@dataclass(frozen=True, eq=False)
class Rewritten:
    """A model whose weights were rewritten, of the same class as before."""

    module: nn.Module
    steps: tuple[RewriteStep, ...]
    seed: int

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of the rewrites that the module has; with the seed, all that `again` needs."""
        return tuple(step.name for step in self.steps if step.applied)


def rewrite(
    module: nn.Module,
    exported: ExportedProgram,
    tokens: Tensor,
    wanted: Sequence[str] = NAMES,
    seed: int = 0,
    rewrites: Mapping[str, Rewrite] = REWRITES,
) -> Rewritten:
    """A copy of a model with the wanted rewrites that its graph allows and its outputs do not show.

    Parameters
    ----------
    module: in evaluation mode; it stays as it is.
    exported: its graph, as `afmc.frontends.graph.export.export` makes it.
    tokens: [windows, tokens] of real text, on which outputs are compared.
    wanted: names of `rewrites`, in their order. One that the graph does not allow is left out, with
        the reason; so is one after which a logit differs by more than TOLERANCE.
    seed: of the orthogonal matrices; the same wanted steps and seed give the same weights.

    Raises OptionError for a name that is none.
    """
    chosen = _named(wanted, rewrites)
    facts, weights = Facts(exported), Weights(copy.deepcopy(module))
    before = outputs(module, tokens)
    steps = tuple(
        _measured(name, chosen[name], facts, weights, seed, before, tokens) for name in chosen
    )
    return Rewritten(weights.module, steps, seed)


def again(
    module: nn.Module, exported: ExportedProgram, applied: Sequence[str], seed: int
) -> nn.Module:
    """A copy of a model with rewrites that `rewrite` has measured before, not measured again."""
    facts, weights = Facts(exported), Weights(copy.deepcopy(module))
    for step in _named(applied, REWRITES).values():
        step(facts, weights, seed)
    return weights.module


def outputs(module: Any, tokens: Tensor) -> Tensor:
    """Logits, or else the last hidden state, for token numbers [windows, tokens]."""
    with torch.inference_mode():
        return first_tensor(module(tokens), type(module).__name__).float()


def difference(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, by the root mean square of what is wanted."""
    return float((found - wanted).abs().max() / wanted.square().mean().sqrt())


def _named(wanted: Sequence[str], rewrites: Mapping[str, Rewrite]) -> dict[str, Rewrite]:
    unknown = next((name for name in wanted if name not in rewrites), None)
    if unknown is not None:
        raise OptionError(f"there is no rewrite {unknown}; there are {', '.join(rewrites)}.")
    return {name: step for name, step in rewrites.items() if name in wanted}


def _measured(
    name: str,
    step: Rewrite,
    facts: Facts,
    weights: Weights,
    seed: int,
    before: Tensor,
    tokens: Tensor,
) -> RewriteStep:
    outcome = step(facts, weights, seed)
    changed = weights.changed
    if not outcome.done:
        weights.undo()
        return RewriteStep(name, False, 0, outcome.of, outcome.left)
    found = difference(outputs(weights.module, tokens), before)
    if not found <= TOLERANCE:  # also where it is not a number
        weights.undo()
        reason = (
            f"Logits differ by {found:.1e} of their root mean square, more than {TOLERANCE:.0e}: "
            f"taken back."
        )
        return RewriteStep(name, False, 0, outcome.of, reason, difference=found)
    weights.keep()
    return RewriteStep(
        name, True, outcome.done, outcome.of, outcome.left, changed, found, outcome.rotated
    )
