"""A compiled program with its target and what was measured while compiling it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afmc.common.version import VERSION
from afmc.fit import Lever
from afmc.program.program import Program
from afmc.targets import Target


@dataclass(frozen=True)
class Artifact:
    program: Program
    target: Target
    levers: tuple[Lever, ...]
    measured: Mapping[str, Any]
    """What depends on the machine and the day: seconds, memory, versions."""
    afmc_version: str = VERSION
    """Of the afmc that compiled it."""
