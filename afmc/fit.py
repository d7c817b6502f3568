"""Does it fit? What a mapping demands of a system, the proof, and the levers that would help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Rule = Literal["exclusive", "parallel", "serial"]


@dataclass(frozen=True)
class Lever:
    """A change that takes fewer tiles or fits, checked by running the passes with it."""

    change: str = field(metadata={"meaning": "As one would type it."})
    tiles: int = field(metadata={"meaning": "Tiles that it would take."})
    chips: int = field(metadata={"meaning": "Chips that it would take."})
    needs: str = field(
        default="",
        metadata={"meaning": "What the hardware would have to be able to do; empty: nothing."},
    )
    macs_lost: float = field(
        default=0.0,
        metadata={"meaning": "Share of all matrices' multiply-accumulates that goes digital."},
    )

    def __str__(self) -> str:
        lost = (
            f", {100 * self.macs_lost:.1f} % of multiply-accumulates go digital"
            if self.macs_lost
            else ""
        )
        needs = f", requires that {self.needs}" if self.needs else ""
        return f"{self.change} ({self.tiles} tiles, {self.chips} chips{lost}{needs})"


@dataclass(frozen=True)
class Limit:
    """What a mapping takes of something that a system has only so much of."""

    of: Literal["chips", "crossbars", "cells"]
    """A tier of a stacked tile is a crossbar; a cell holds one weight."""
    demand: int
    supply: int

    @property
    def left(self) -> int:
        return max(0, self.supply - self.demand)

    @property
    def deficit(self) -> int:
        return max(0, self.demand - self.supply)


@dataclass(frozen=True)
class FitReport:
    """Why a model does not fit its system, and what would."""

    model: str
    target: str
    rule: Rule
    limits: tuple[Limit, ...]
    """Limits of chips, crossbars and cells."""
    bound: str
    """Name of the largest lower bound on the crossbars."""
    at_least: int
    """Its value: crossbars that these blocks take under this rule, however they are mapped."""
    levers: tuple[Lever, ...] = ()

    @property
    def proven(self) -> Literal["all layouts", "this rule"] | None:
        """What it is proven of that it does not fit; None where a mapping that fits may exist."""
        if self._limit("cells").deficit:
            return "all layouts"
        return "this rule" if self.at_least > self._limit("crossbars").supply else None

    @property
    def proof(self) -> str:
        supply, cells = self._limit("crossbars").supply, self._limit("cells")
        if self.proven == "all layouts":
            return (
                f"No layout of these weights fits: they need {cells.demand:,} cells (area), and "
                f"the system has {cells.supply:,}."
            )
        if self.proven == "this rule":
            return (
                f"No mapping of these blocks under the rule {self.rule} fits: it takes at least "
                f"{self.at_least:,} crossbars ({self.bound}), and the system has {supply:,}."
            )
        return (
            f"This is the mapping that was found; one that fits is not ruled out: at least "
            f"{self.at_least:,} crossbars are needed ({self.bound}), and the system has {supply:,}."
        )

    def _limit(self, of: str) -> Limit:
        return next(limit for limit in self.limits if limit.of == of)
