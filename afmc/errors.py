"""Every exception that afmc raises on purpose.

AfmcError                 the user can mend it: one sentence that says what, where and what to do
├── ModelError            a model that cannot be found, read, trusted or exported
├── TargetError           a hardware description that is missing, malformed or impossible
├── OptionError           an option, a pass or a pattern that does not exist or has a wrong value
├── CapacityError         the model does not fit; carries the numbers, the proof and the levers
├── TextError             a text that cannot be read or is too short
├── SampleError           arrays of samples that cannot be read or do not fit the model
└── ArtifactError         a folder that afmc did not write, or did not finish
PassError                 a pass broke the program's rules: a bug in the pass, not the user's
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afmc.fit import FitReport


class AfmcError(Exception):
    """Something that the user can mend. Its text is one sentence; the exit status is 2."""


class ModelError(AfmcError):
    pass


class TargetError(AfmcError):
    pass


class OptionError(AfmcError):
    pass


class TextError(AfmcError):
    pass


class SampleError(AfmcError):
    pass


class ArtifactError(AfmcError):
    pass


class CapacityError(AfmcError):
    """The mapping needs more chips than the system has.

    ``chips_needed`` and ``chips_available`` are counts. ``report`` has every limit with demand and
    supply, the proof, and the changes that would fit, each checked; `afmc.compile` adds it, and
    its sentences follow the message.
    """

    def __init__(
        self,
        message: str,
        chips_needed: int,
        chips_available: int,
        report: FitReport | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.chips_needed = chips_needed
        self.chips_available = chips_available
        self.report = report

    def __str__(self) -> str:
        if self.report is None:
            return self.message
        levers = "; ".join(map(str, self.report.levers)) or "none of the changes that were tried"
        return f"{self.message} {self.report.proof} What would fit: {levers}."


class PassError(Exception):
    """A pass returned a program that breaks a rule. Written for the author of the pass."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`` Did you mean 'x'?`` with a leading space, or the empty string."""
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
