"""What is asked of a chip: how many tokens, after how many others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from afmc.errors import OptionError, did_you_mean
from afmc.program.model import Model, Unit

CONTEXTS = (512, 2048)
"""Tokens of workloads that nobody chose, as far as the model takes so many."""

Phase = Literal["decode", "prefill"]
PHASES: tuple[Phase, ...] = ("decode", "prefill")


@dataclass(frozen=True)
class Workload:
    """Raises OptionError for numbers below 1 and phases that there are not."""

    phase: Phase = "decode"
    """decode: one token of each sequence, after `context` others. prefill: a prompt of `context`
    tokens of each sequence, one after the other through the tiles."""
    context: int = 512
    batch: int = 1
    """Sequences at once."""

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise OptionError(
                f"the phase must be {' or '.join(map(repr, PHASES))}, but is {self.phase!r}."
                + did_you_mean(self.phase, PHASES)
            )
        for name in ("context", "batch"):
            if getattr(self, name) < 1:
                raise OptionError(f"the {name} must be at least 1, but is {getattr(self, name)}.")

    def __str__(self) -> str:
        """``decode, context 512, batch 1``."""
        return f"{self.phase}, context {self.context:,}, batch {self.batch:,}"

    def described(self, unit: Unit) -> str:
        """In words; an inference has neither phase nor context."""
        return f"batch {self.batch:,}" if unit == "inference" else str(self)

    @property
    def tokens(self) -> int:
        """That go through the tiles."""
        return self.batch * (self.context if self.phase == "prefill" else 1)

    def positions(self, window: int | None = None) -> float:
        """That a token attends to, itself included and `window` at most, on average over tokens."""
        context = self.context
        most = context if window is None else min(window, context)
        if self.phase == "decode":
            return float(most)
        # Up to the window one more each time, and then that many.
        return most * (most + 1) / 2 / context + most * (context - most) / context

    def kept(self, window: int | None = None) -> int:
        """Positions whose keys and values are kept at the end, of all sequences."""
        return self.batch * (self.context if window is None else min(window, self.context))


def usual_contexts(models: Sequence[Model], contexts: Sequence[int] = CONTEXTS) -> tuple[int, ...]:
    """The contexts, none longer than what every model takes."""
    most = min((m.positions for m in models if m.positions is not None), default=max(contexts))
    return tuple(dict.fromkeys(min(each, most) for each in contexts))


def usual_workloads(models: Sequence[Model]) -> tuple[Workload, ...]:
    """What is asked of a chip where nobody says: a token after so many others."""
    return tuple(Workload(context=each) for each in usual_contexts(models))


def check_context(workload: Workload, model: Model) -> None:
    """Raises OptionError for more tokens than the model has positions."""
    most = model.positions
    if most is not None and model.unit == "token" and workload.context > most:
        raise OptionError(
            f"--context {workload.context}: {model.name} has {most:,} positions, and so many "
            f"tokens are the most that one attends to."
        )
