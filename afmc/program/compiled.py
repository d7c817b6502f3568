"""A compiled program with its target and what was measured while compiling it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from afmc.common.version import VERSION
from afmc.fit import Lever
from afmc.program.layout import Layout, layout_of
from afmc.program.program import Program
from afmc.program.summary import summarise
from afmc.targets import Target


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """What inspect, compare, report, export and MLIR read; it knows no tensors."""

    program: Program
    target: Target
    levers: tuple[Lever, ...]
    """Changes that take fewer tiles. Data: whoever compiled has checked each by compiling."""
    measured: Mapping[str, Any]
    """What depends on the machine and the day: seconds, memory, versions."""
    version: str = VERSION
    """The afmc that compiled it."""

    @cached_property
    def layout(self) -> Layout:
        """Who holds what where."""
        return layout_of(self.program, self.target)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The figures that follow from the program alone."""
        return summarise(self.program, self.target, self.levers)
