"""Exact changes of the digital model's weights that were made before it was mapped."""

from __future__ import annotations

from dataclasses import dataclass

from afmc.common.described import described

NAMES = ("untie", "fold_norms", "residual", "heads")
"""Rewrites by name, in the order in which they build on one another."""


@dataclass(frozen=True)
class RewriteStep:
    """What came of one rewrite."""

    name: str = described("untie, fold_norms, residual or heads.")
    applied: bool = described("Whether the weights have it.")
    done: int = described("How many places have it: norms, attentions, one residual stream.")
    of: int = described("How many such places there are.")
    reason: str = described(
        "Why it was not applied, or what it left as it was: a sentence, or nothing.", default=""
    )
    parameters: tuple[str, ...] = described("Parameters that changed.", default=())
    difference: float | None = described(
        "Largest difference of a logit from the original model's, by the root mean square of its "
        "logits, after this step and those before it: measured in float32; null where nothing "
        "changed.",
        default=None,
    )
    rotated: tuple[str, ...] = described(
        "Matrices whose inputs it rotated: no rotation of theirs is computed.", default=()
    )


@dataclass(frozen=True)
class Rewriting:
    """All rewrites that were asked for."""

    seed: int = described("Decides the orthogonal matrices.")
    text: str = described("Text on which outputs were compared.")
    text_sha256: str = described("SHA-256 of that text.")
    tokens: int = described("Tokens of it.")
    steps: tuple[RewriteStep, ...] = described("In the order in which they were taken.")

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of the rewrites that the weights have."""
        return tuple(step.name for step in self.steps if step.applied)

    @property
    def rotated(self) -> frozenset[str]:
        """Matrices whose inputs are rotated by what is folded into weights."""
        return frozenset(name for step in self.steps for name in step.rotated)
