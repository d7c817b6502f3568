"""What is asked of a chip: how many tokens, after how many others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from afmc.errors import OptionError, did_you_mean
from afmc.program.model import Unit

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
