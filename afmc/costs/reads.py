"""What the tiles do for one token, counted from the blocks that were really made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afmc.program.program import Program

Real = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reads:
    """[groups] each, for one token: an expert counts as often as it is expected to be used."""

    reads: Real
    """Products of a block."""
    rows: Real
    """Rows that are driven."""
    columns: Real
    """Columns that are converted."""
    macs: Real
    adds: Real
    """Additions of two partial sums of a column, or of two replicas' sums."""
    slices: Real
    """Row slices of a column, whose partial sums are added one after the other."""
    inputs: Real
    """Values that are sent to the tiles: once, whatever number of them reads the same."""


def reads_of(program: Program, share: Real) -> Reads:
    """One replica serves a token, so only the first of each is counted, unless all of them do.

    `share` is, for each group, of how many tokens it is read at all: [groups].
    """
    groups, blocks = program.groups, program.blocks
    first = blocks if program.averaged else blocks[blocks["replica"] == 0]
    count = len(groups)
    number = np.ascontiguousarray(first["group"])
    uses = share * [program.matrix(g.members[0]).per_token / g.copies for g in groups]

    def summed(weights: Real | None = None) -> Real:
        return np.asarray(np.bincount(number, weights, count)) * uses

    columns = summed(first["cols"].astype(np.float64))
    whole = np.asarray([g.cols * g.copies for g in groups]) * uses
    macs = summed(first["rows"].astype(np.float64) * first["cols"])
    return Reads(
        reads=summed(),
        rows=summed(first["rows"].astype(np.float64)),
        columns=columns,
        macs=macs,
        adds=columns - whole,
        slices=np.round(columns / np.where(whole > 0, whole, 1)),
        inputs=np.asarray([g.rows * g.copies for g in groups]) * uses,
    )
