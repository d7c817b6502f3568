"""What a packing is, and what it may take to find one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.layouts import Layout


@dataclass(frozen=True)
class Limits:
    time_limit_s: float = 30.0
    """CP-SAT's deterministic seconds."""
    max_patterns: int = 20_000
    """Candidates up to which every pattern is listed."""


@dataclass(frozen=True, eq=False)
class Patterns:
    counts: Counts
    """[patterns, types]"""
    complete: bool
    """Whether every way to fill a tile is within one of them."""
    linear: int = 0
    """Fewest tiles by the linear master; 0 where it gave no bound."""


@dataclass(frozen=True, eq=False)
class Packed:
    layouts: Mapping[Layout, int]
    """How many tiles are filled in each way."""
    taken: tuple[Counts, ...]
    """[ways] for each choice of the demand, how many are had in that way."""
    bounds: Mapping[str, int]
    """Fewest tiles, by the name of the proof."""
    patterns: int
    """Ways to fill a tile that were chosen from."""

    @property
    def tiles(self) -> int:
        return sum(self.layouts.values())
