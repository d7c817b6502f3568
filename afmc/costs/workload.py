"""What is asked of a chip: how many tokens, after how many others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from afmc.errors import OptionError, did_you_mean
from afmc.ir import Unit

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

    def described(self, unit: Unit) -> str:
        """In words; an inference has neither phase nor context."""
        batch = f"batch {self.batch:,}"
        if unit == "inference":
            return batch
        return f"{self.phase}, context {self.context:,}, {batch}"

    @property
    def tokens(self) -> int:
        """That go through the tiles."""
        return self.batch * (self.context if self.phase == "prefill" else 1)

    @property
    def positions(self) -> float:
        """That a token attends to, itself included, on average over the tokens."""
        return float(self.context) if self.phase == "decode" else (self.context + 1) / 2
