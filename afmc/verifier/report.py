"""What a verification found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check looked at and what is wrong with it."""

    counts: Mapping[str, int]
    """How many of what were looked at."""
    problems: tuple[str, ...] = ()
    """Whole sentences; each names the first place and says how many there are."""
    notes: tuple[str, ...] = ()
    """What a reader should know besides: what was not verified, for instance."""
    skipped: bool = False
    """There was nothing to look at; the notes say why."""


@dataclass(frozen=True)
class Check:
    """A claim about the mapping, and whether it holds."""

    name: str
    claim: str
    outcome: Outcome
    """``skipped``: not looked at, because a check that it needs failed or what it reads is not
    there; the notes say which."""
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass(frozen=True)
class Report:
    """All checks of one folder, in order."""

    directory: str
    target: str
    """Name of the hardware that the mapping was held against."""
    differs: tuple[str, ...]
    """Figures in which it is not the program's own target; empty where none was given."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """No check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == "failed")

    @property
    def problems(self) -> tuple[str, ...]:
        """The sentences of all checks."""
        return tuple(problem for check in self.checks for problem in check.problems)

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "directory": self.directory,
            "target": self.target,
            "target_differs": list(self.differs),
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
        }


def more(number: int, all_counted: bool = True) -> str:
    """Ends the sentence about the first of so many."""
    if number == 1:
        return "."
    return f" (the first of {'' if all_counted else 'at least '}{number:,})."


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 block``, ``2,000 blocks``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
