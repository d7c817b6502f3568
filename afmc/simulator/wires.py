"""IR drop: what the resistance of the wires leaves of every conductance.

A crossbar is a linear network, so the current of column j is exactly sum_i T_ij v_i, whatever the
voltages v of the rows: the effective conductance T does not depend on the input, and IR drop costs
nothing at run time.

Row i is driven before column 0. Column j ends at a virtual ground after the last row and, if it is
read at both ends, at another before row 0. From an end to the first cell is one pitch, as it is
from a cell to the next. Rows that are not driven are at 0 V or, with a selector, disconnected.

Let C_ik and R_lj be the resistance that the paths of two cells to the end of their wire share. On a
row it is R_lj = row_ohm (min(l, j) + 1); on a column of N cells

    C_ik = column_ohm (N - max(i, k))                               read at one end,
    C_ik = column_ohm (min(i, k) + 1) (N - max(i, k)) / (N + 1)     read at both.

With 1 V on one row, where E is 1, the currents I of the cells obey I = g (E - C I - I R), cell by
cell, and T is their sum over a column. Its series in the resistance begins

    T_ij = g_ij (1 - a_ij - b_ij) + ...,   a_ij = sum_k C_ik g_kj,   b_ij = sum_l g_il R_lj,

and a and b are cumulative sums. The later terms are estimated from a, b and two mean profiles, p
over the columns and q over the rows of the block, each with the idle cells before and after it:

    x_ij = a_ij / (1 + s_i a_ij),    s = C (p C p) / (C p)^2        lost on the column's wire
    y_ij = b_ij / (1 + t_j b_ij),    t = ((q R) q) R / (q R)^2      lost on the row's wire
    T_ij = g_ij (1 - x_ij) (1 - y_ij) + m_ij x_ij y_ij / ((1 + s_i a_ij) (1 + t_j b_ij))

1 - x is the [1/1] Padé approximant of a column by itself, 1 - y of a row by itself. The last term
is current that leaves a row by other columns and comes back to column j by other rows; a cell that
does not conduct has it too. m_ij is the mean conductance of the cells on that detour: the block's
mean and that of idle cells, by the block's shares of (C p)_i and (q R)_j. To first order in the
resistance T is exact for all conductances, for equal ones to third.

The form was chosen by its error against nodal analysis. Worst of four kinds of 128 x 128 cells read
at one end, by what the cell that loses most loses:

                                   10 %    20 %    35 %    65 %
    this form                      0.01    0.04     0.2     0.9   largest error, rows from 0 to
    g (1 - a - b), first order      0.4       2       8      44   full voltage, in % of a column's
    g / (1 + a + b)                0.05     0.2     0.6     1.4   current with all rows at full
    this form                      0.01    0.04     0.2     1.2   rms error, rows of both signs,
    g (1 - a - b), first order      0.6       3      15      92   in % of the rms current
    g / (1 + a + b)                 0.1     0.4     1.5       7

At 256 x 256 and read at both ends it is less (tests/benchmarks/wires.py). Where only one cell of
ten conducts it is 0.3 at 33 %. Meant for up to 35 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Ends = Literal["first", "last", "both"]
"""Ends of a wire that a driver or a virtual ground holds."""


@dataclass(frozen=True)
class Wires:
    """Wires of a crossbar."""

    rows: int
    columns: int
    """In weights: two columns of cells each where a weight is a pair of conductances."""
    row_ohm: float
    """Along a row, from one cell to the next."""
    column_ohm: float
    """Along a column, from one cell to the next."""
    both_ends: bool = False
    """Columns are read at both ends, not only after the last row."""
    idle_uS: float = 0.0
    """Conductance of the cells outside a block."""
    selector: bool = False
    """Whether rows that are not driven are disconnected: then only cells beside a block conduct."""


def wire_ohm(ohm_at_25C: float, temperature_C: float) -> float:
    """Resistance of a copper wire: 0.0039 per kelvin, bulk copper's. NeuroSim has 0.00451."""
    return ohm_at_25C * (1 + 0.0039 * (temperature_C - 25))


def effective_pair(
    plus_uS: Tensor, minus_uS: Tensor, wires: Wires, *, row: int = 0, column: int = 0
) -> tuple[Tensor, Tensor]:
    """`effective` for weights that are pairs: plus in column 2 j of cells, minus in 2 j + 1."""
    cells = torch.stack((plus_uS, minus_uS), dim=1).flatten(0, 1)
    left = effective(cells, replace(wires, columns=2 * wires.columns), row=row, column=2 * column)
    return left[0::2], left[1::2]


def effective(g_uS: Tensor, wires: Wires, *, row: int = 0, column: int = 0) -> Tensor:
    """What is left of a block of conductances, [columns, rows], whose first cell is at row, column.

    For conductances of at least 0, and then never negative. Noise around 0 does no harm.
    """
    below, right = margins(g_uS, wires, row, column)
    ends: Ends = "both" if wires.both_ends else "last"
    idle_rows_uS = 0.0 if wires.selector else wires.idle_uS
    on_column = _Place(row, below, idle_rows_uS, ends, wires.column_ohm)
    on_row = _Place(column, right, wires.idle_uS, "first", wires.row_ohm)
    down, s, inside_rows = _divider(g_uS, g_uS.mean(0), on_column)
    # Sums across the order of memory take ten times as long: a copy in the other order, and back.
    along, t, inside_columns = _divider(g_uS.T.contiguous(), g_uS.mean(1), on_row)
    along, t = along.T.contiguous(), t.unsqueeze(1)
    x, y = (1 - down).div_(s), (1 - along).div_(t)
    beside = inside_columns * (g_uS.mean() - wires.idle_uS) + wires.idle_uS
    m = torch.outer(beside - idle_rows_uS, inside_rows).add_(idle_rows_uS)
    detour = m.mul_(x).mul_(y).mul_(down).mul_(along)
    kept = x.sub_(1).clamp_max_(0).mul_(y.sub_(1).clamp_max_(0))  # two minus signs
    return kept.mul_(g_uS).add_(detour)


def margins(g_uS: Tensor, wires: Wires, row: int, column: int) -> tuple[int, int]:
    """How many rows and columns of the crossbar come after a block."""
    columns, rows = g_uS.shape
    below, right = wires.rows - row - rows, wires.columns - column - columns
    if min(row, column, below, right) < 0:
        raise ValueError("the block does not fit into the crossbar")
    return below, right


@dataclass(frozen=True)
class _Place:
    """Where on the wires of one direction a block lies."""

    before: int
    after: int
    idle_uS: float
    """Conductance of the cells before and after."""
    ends: Ends
    ohm: float


def _divider(g_uS: Tensor, profile_uS: Tensor, place: _Place) -> tuple[Tensor, Tensor, Tensor]:
    """For cells, [wires, cells]: 1 / (1 + s a), s, and the block's share of s's sum C p."""
    cells = slice(place.before, place.before + len(profile_uS))
    profile_uS = profile_uS.clamp(min=0)
    whole = pad(profile_uS, (place.before, place.after), value=place.idle_uS)
    first = _sums(whole, 0, 0, place.ends)
    second = _sums(whole * first, 0, 0, place.ends)[cells]
    first = first[cells]
    block = _sums(profile_uS, place.before, place.after, place.ends)
    conducts = first > 1e-12  # of a block of zeros s may be anything
    s = torch.where(conducts, second / first.square(), 1.0)
    a = _sums(g_uS, place.before, place.after, place.ends).add_(first - block)
    divider = a.mul_(s * (place.ohm * 1e-6)).add_(1).reciprocal_()
    return divider, s, torch.where(conducts, block / first, 1.0)


def _sums(g_uS: Tensor, before: int, after: int, ends: Ends) -> Tensor:
    """sum_k C_ik g_k over the last dimension, in uS for wires of 1 ohm; no cells around it."""
    once = g_uS.cumsum(-1)
    twice = once.cumsum(-1)
    total, far = once[..., -1:].clone(), twice[..., -1:] + after * once[..., -1:]
    position = torch.arange(1, g_uS.shape[-1] + 1, dtype=g_uS.dtype, device=g_uS.device) + before
    nearer = once.sub_(twice)  # minus sum_k<i (i - k) g_k
    if ends == "last":
        return nearer.add_(far)
    if ends == "both":
        return nearer.addcmul_(far, position / (position[-1] + after + 1))
    return nearer.addcmul_(total, position)
