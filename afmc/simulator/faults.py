"""Stuck cells by the maps of what is broken, and how working devices make up for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from afmc.hardware.defect_map import WORKS, Crossbar, DefectMap, States
from afmc.hardware.defects import ON, Defects
from afmc.simulator.lines import Lines
from afmc.targets import Target


@dataclass(frozen=True)
class Stuck:
    """The stuck cells of a block by name, ``+0`` the most significant positive ones: `OFF` or `ON`,
    and else `WORKS`, [cols, rows] in the order of the crossbar."""

    cells: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    """Those that programming makes up for."""


class Faults:
    """The stuck cells of a system."""

    def __init__(
        self,
        target: Target,
        cells: int,
        known: Defects | None = None,
        new: Defects | None = None,
        *,
        pair: bool = False,
    ) -> None:
        """`cells` a polarity; `known` is what the system was compiled for and `new` has been added
        since; with `pair` programming makes up for what is known."""
        polarities = "+" if target.device.encoding == "offset" else "+-"
        self.names = [f"{polarity}{k}" for polarity in polarities for k in range(cells)]
        self._known, self._new = (
            DefectMap(each, target) if each is not None and each.has_stuck_cells else None
            for each in (known, new)
        )
        self._pair = pair

    def at(self, crossbar: Crossbar, name: str, *, known: bool) -> States:
        """Stuck cells of a whole crossbar."""
        address = (crossbar, "+-".index(name[0]), int(name[1:]))
        maps = (self._known,) if known else (self._known, self._new)
        first, *more = [each.stuck(*address) for each in maps if each is not None]
        for later in more:
            first = np.where(later == WORKS, first, later)
        return first

    def of(self, crossbar: Crossbar, lines: Lines) -> Stuck | None:
        """Stuck cells of a block, or None if all its cells work."""
        if self._known is None and self._new is None:
            return None
        where = np.ix_(np.sort(lines.cols), np.sort(lines.rows))

        def here(known: bool) -> dict[str, Tensor]:
            found = {name: self.at(crossbar, name, known=known)[where] for name in self.names}
            return {
                name: torch.from_numpy(states)
                for name, states in found.items()
                if (states != WORKS).any()
            }

        cells = here(known=False)
        known = here(known=True) if self._pair and self._known is not None else {}
        return Stuck(cells, known) if cells else None


def levels(states: Tensor, low: float, high: float, dtype: torch.dtype) -> Tensor:
    """What stuck cells stay at; not a number where cells work."""
    level = torch.full(states.shape, torch.nan, dtype=dtype)
    level.masked_fill_(states == ON, high)
    return level.masked_fill_((states != ON) & (states != WORKS), low)


class MakingUp:
    """The states of the working devices of weights of which some are stuck, one device a polarity
    after the other.

    With S the states that stuck devices contribute and F+ and F- the significance of those that
    work, all F+ at a and all F- at b give S + F+ a - F- b. Of the a and b within a device's range
    that come closest to the weight these are the smallest.
    """

    def __init__(
        self, wanted: Tensor, known: Mapping[str, Tensor], shares: Sequence[float], span: Span
    ) -> None:
        """`wanted` is the sum of all positive less all negative states."""
        stuck = [states != WORKS for states in known.values()]
        self.where = torch.stack(stuck).any(dim=0)
        self.missing = wanted[self.where]
        self._span = span
        self._works: dict[str, Tensor] = {}
        for sign, polarity in ((1, "+"), (-1, "-")):
            for k, share in enumerate(shares):
                name = f"{polarity}{k}"
                works = torch.full_like(self.missing, share)
                if name in known:
                    level = levels(known[name], *span, wanted.dtype)[self.where]
                    works.masked_fill_(~level.isnan(), 0.0)
                    self.missing = self.missing - sign * share * level.nan_to_num(0.0)
                self._works[name] = works
        self._count = len(shares)

    def states(self, k: int, *, reference: bool) -> tuple[Tensor, Tensor]:
        """For the k-th devices, those before being programmed; against a reference column nothing
        negative makes up for anything."""
        low, high = self._span
        plus, minus = (
            sum((self._works[f"{sign}{i}"] for i in range(k, self._count)), torch.zeros(()))
            for sign in "+-"
        )
        if reference:
            minus = torch.zeros_like(plus)
        a = torch.where(plus > 0, (self.missing + minus * low) / plus, low).clamp(low, high)
        b = torch.where(minus > 0, (plus * a - self.missing) / minus, low).clamp(low, high)
        return a, b

    def programmed(self, k: int, plus: Tensor, minus: Tensor) -> None:
        """The k-th devices are at these states, as far as they work."""
        contributed = self._works[f"+{k}"] * plus - self._works[f"-{k}"] * minus
        self.missing = self.missing - contributed


Span = tuple[float, float]
"""Smallest and largest state of a cell."""
