"""What is done about stuck cells: which row and column of a block goes to which line.

The inputs of a tile come by digital routing and its outputs are read by address, so that any order
of rows and columns is free. Putting row i of a matrix onto line k of a crossbar costs

    c_ik = sum_j m_i e_ij(k)^2

with m_i the mean square of input i, where it is known, and e_ij(k) the error of the weight in
column j by what is stuck at line k: the squared error of the outputs, for inputs that are
independent of one another, in units of the squared output of the matrix. The sum goes over stuck
cells alone, and e depends on the weight and the kind of fault (which of its devices are stuck, and
where), so that all costs are a product of a sparse and a dense matrix for each kind. The best order
of the rows is an assignment problem, solved exactly; then that of the columns, and again until a
round gains less than 1 % of the first error. Lines without weights are free places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from afmc.hardware.defect_map import WORKS, Crossbar, DefectMap
from afmc.hardware.defects import ON
from afmc.program.layout import layout_of
from afmc.program.model import names_in_tiles
from afmc.program.program import LINE, ORDER, Program, Repair, RepairMethod
from afmc.simulator.cells import weight_per_state
from afmc.simulator.instance import Weights, faults_of
from afmc.targets import Target

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Order = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Physical rows and columns of a crossbar."""

ENOUGH = 0.01
"""Share of the first error; a round that gains less is the last."""


def repair(
    program: Program,
    target: Target,
    weights: Weights,
    methods: Sequence[RepairMethod],
    mean_square: Mapping[str, torch.Tensor] | None = None,
    inputs: str = "",
    kept: Program | None = None,
) -> Program:
    """The program with the orders of its crossbars, and what is left of the error.

    `mean_square` is that of every input, [rows], by activation, measured on a text named `inputs`;
    without it all inputs count alike. Crossbars that hold the same blocks in `kept`, and have the
    same defects, keep their order. Unchanged where the program's map has no stuck cells.
    """
    if program.defects is None or not program.defects.has_stuck_cells:
        return program
    plain = replace(program, orders=np.zeros(0, ORDER), lines=np.zeros(0, LINE))
    crossbars = _Crossbars(plain, target, weights, mean_square or {})
    now = _Faults(plain, target)
    before = _Kept(plain, target, methods, kept)

    def solve(crossbar: Crossbar) -> _Solved:
        faulty, weights = now.at(crossbar), crossbars.weights(crossbar)
        if before.holds_alike(crossbar, faulty):
            return faulty.with_order(weights, methods, before.order_of(crossbar))
        return faulty.solve(weights, methods)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        solved = dict(zip(crossbars.crossbars, pool.map(solve, crossbars.crossbars), strict=True))
    orders = {crossbar: each.order for crossbar, each in solved.items() if each.order is not None}
    table = [(*crossbar, len(rows), len(cols)) for crossbar, (rows, cols) in orders.items()]
    lines = [line for order in orders.values() for line in order]
    matrices = len(program.analog)
    return replace(
        plain,
        orders=np.array(table, ORDER),
        lines=np.concatenate(lines) if lines else plain.lines,
        repair=Repair(
            methods=tuple(methods),
            inputs=inputs,
            devices=sum(each.devices for each in solved.values()),
            error_without=sum(each.without for each in solved.values()) / matrices,
            error=sum(each.error for each in solved.values()) / matrices,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Weights:
    """What a crossbar is to hold, [rows, cols] as far as its blocks reach, in their order."""

    wanted: Floats
    """The sum of the positive less that of the negative states, or all of the positive ones where
    there is a reference column."""
    factor: Floats
    """What the square of an error of one unit counts; 0 where there is no weight."""


class _Crossbars:
    """The weights of a program by crossbar."""

    def __init__(
        self,
        program: Program,
        target: Target,
        weights: Weights,
        mean_square: Mapping[str, torch.Tensor],
    ) -> None:
        self._program, self._target, self._weights = program, target, weights
        self._mean_square = {
            m.name: mean_square.get(m.input, torch.ones(m.rows)) for m in program.analog
        }
        self._power = {
            m.name: sum(
                float((weights[name].double().square() @ self._mean_square[m.name].double()).sum())
                for name in names_in_tiles(m)
            )
            for m in program.analog
        }
        self._layout = layout_of(program, target)
        self.crossbars: list[Crossbar] = self._layout.crossbars_held
        """In the order of chips, tiles and tiers."""

    def weights(self, crossbar: Crossbar) -> _Weights:
        """Of one crossbar, whose range is that of its largest weight where the target says so."""
        parts = list(map(self._part, self._layout.on(crossbar)))
        height = max(part.row + part.weight.shape[1] for part in parts)
        width = max(part.col + part.weight.shape[0] for part in parts)
        wanted, factor = torch.zeros(height, width), torch.zeros(height, width)
        device = self._target.device
        largest = max(float(part.weight.abs().amax()) for part in parts)
        for part in parts:
            scale = part.scale if device.scale == "column" else torch.full_like(part.scale, largest)
            unit = weight_per_state(torch.where(scale > 0, scale, 1.0), self._target).unsqueeze(1)
            states = part.weight / unit
            if device.encoding == "offset":
                low, high = device.state_min, device.state_max
                states = (states + (low + high) / 2).clamp(low, high)
            rows = slice(part.row, part.row + states.shape[1])
            cols = slice(part.col, part.col + states.shape[0])
            wanted[rows, cols] = states.T
            factor[rows, cols] = ((scale > 0).unsqueeze(1) * unit.square() * part.importance).T
        return _Weights(wanted.numpy(), factor.numpy())

    def _part(self, part: Any) -> _Part:
        matrix = self._program.matrices[part["matrix"]]
        group = self._program.groups[self._layout.group_of[matrix.name]]
        copy = part["copy"]
        rows = slice(part["row"], part["row"] + part["rows"])
        cols = slice(part["col"], part["col"] + part["cols"])
        share = 1 / group.replicas[copy] if group.replicas else 1.0  # of the copy's tokens
        weight = self._weights[names_in_tiles(matrix)[copy]][cols, rows]
        importance = self._mean_square[matrix.name][rows]
        return _Part(
            int(part["at_row"]),
            int(part["at_col"]),
            weight,
            weight.abs().amax(dim=1),
            share * importance / max(self._power[matrix.name], 1e-30),
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """Some columns of a block, of one matrix."""

    row: int
    col: int
    weight: torch.Tensor
    """[cols, rows]"""
    scale: torch.Tensor
    """[cols]"""
    importance: torch.Tensor
    """[rows]"""


class _Faults:
    """The stuck cells that a program was made for."""

    def __init__(self, program: Program, target: Target) -> None:
        self._target = target
        self._faults = faults_of(program, target)
        assert program.defects is not None
        self._map = DefectMap(program.defects, target)

    def at(self, crossbar: Crossbar) -> _Faulty:
        live = self._map.live_lines(crossbar)
        states = [
            self._faults.at(crossbar, name, known=True).T[np.ix_(*live)]
            for name in self._faults.names
        ]
        return _Faulty(live, self._faults.names, np.stack(states), self._target)


class _Kept:
    """An earlier program, as far as it was repaired by the same methods."""

    def __init__(
        self,
        program: Program,
        target: Target,
        methods: Sequence[RepairMethod],
        kept: Program | None,
    ) -> None:
        self._kept = kept
        self._alike: set[Crossbar] = set()
        if kept is None or kept.repair is None or kept.repair.methods != tuple(methods):
            return
        self._faults = _Faults(kept, target)
        earlier, now = _held(kept), _held(program)
        self._alike = {crossbar for crossbar in now if earlier.get(crossbar) == now[crossbar]}

    def holds_alike(self, crossbar: Crossbar, faulty: _Faulty) -> bool:
        """Whether it has the same blocks and the same defects there."""
        return crossbar in self._alike and self._faults.at(crossbar).same_as(faulty)

    def order_of(self, crossbar: Crossbar) -> Order | None:
        assert self._kept is not None
        return self._kept.order_of.get(crossbar)


def _held(program: Program) -> dict[Crossbar, set[tuple[int, int, int]]]:
    """Block, row and column of what is on each crossbar."""
    found: dict[Crossbar, set[tuple[int, int, int]]] = defaultdict(set)
    for block, chip, tile, tier, row, col in program.placements.tolist():
        found[chip, tile, tier].add((block, row, col))
    return found


@dataclass(frozen=True, eq=False)
class _Solved:
    order: Order | None
    """None where the live lines are filled as they are."""
    devices: int
    """Stuck devices of cells that hold weights before anything is moved."""
    without: float
    """Error with no repair, summed over the matrices; each is a share of the matrix's outputs."""
    error: float


class _Faulty:
    """A crossbar with stuck cells: its live lines, and the states of its devices by name."""

    def __init__(
        self, live: Order, names: Sequence[str], states: NDArray[np.int8], target: Target
    ) -> None:
        """`states` is [names, live rows, live columns]."""
        self._live, self._states = live, states
        rows, cols = self._at = np.nonzero((states != WORKS).any(axis=0))
        of_weights = states[:, rows, cols].astype(np.int64)
        code = 3 ** np.arange(len(names)) @ (of_weights + 1)
        _, first, kind = np.unique(code, return_index=True, return_inverse=True)
        self._kind = kind.ravel()
        self._reach = _reaches(names, of_weights[:, first], target)

    def same_as(self, other: _Faulty) -> bool:
        live = all(map(np.array_equal, self._live, other._live))
        return live and np.array_equal(self._states, other._states)

    def solve(self, weights: _Weights, methods: Sequence[RepairMethod]) -> _Solved:
        """With the best order that alternating between rows and columns finds."""
        start = self.with_order(weights, methods, None)
        if "permute" not in methods or not start.error:
            return start
        rows, cols = self._alternate(weights, self._reach["pair" in methods], start.error)
        order = (self._live[0][rows], self._live[1][cols])
        return self.with_order(weights, methods, order)

    def with_order(
        self, weights: _Weights, methods: Sequence[RepairMethod], order: Order | None
    ) -> _Solved:
        """Not permuted, or as given."""
        height, width = weights.wanted.shape
        straight = (self._live[0][:height], self._live[1][:width])
        _, hit = self._hit(weights, straight)
        rows, cols = (each[hit] for each in self._at)
        devices = int((self._states[:, rows, cols] != WORKS).sum())
        without = self._error(weights, straight, self._reach[False])
        error = self._error(weights, order or straight, self._reach["pair" in methods])
        return _Solved(order, devices, without, error)

    def _error(self, weights: _Weights, order: Order, reach: _Reach) -> float:
        where, hit = self._hit(weights, order)
        miss = reach.miss(weights.wanted[where], reach.kind[self._kind[hit]])
        return float((weights.factor[where] * miss**2).sum(dtype=np.float64))

    def _hit(self, weights: _Weights, order: Order) -> tuple[tuple[Numbers, Numbers], Numbers]:
        """Which weights are hit, by row and column, and by what (the number of `_at`)."""
        places = []
        for live, used, at in zip(self._live, order, self._at, strict=True):
            place = np.full(len(live), -1)
            place[np.searchsorted(live, used)] = np.arange(len(used))
            places.append(place[at])
        rows, cols = places
        there = (rows >= 0) & (cols >= 0)
        there[there] = weights.factor[rows[there], cols[there]] > 0
        hit = np.flatnonzero(there)
        return (rows[hit], cols[hit]), hit

    def _alternate(self, weights: _Weights, reach: _Reach, first: float) -> tuple[Numbers, Numbers]:
        """The live row of each row, and the live column of each column."""
        shape = (len(self._live[0]), len(self._live[1]))
        costs, where = [], []
        for kind in range(reach.kinds):
            miss = reach.miss(weights.wanted, np.asarray(kind))
            cost = weights.factor * miss**2
            mine = reach.kind[self._kind] == kind
            if cost.any() and mine.any():
                costs.append(cost)
                at = tuple(each[mine] for each in self._at)
                ones = np.ones(len(at[0]), np.float32)
                where.append(sparse.csr_array((ones, at), shape=shape))
        rows, cols = (np.arange(length) for length in weights.wanted.shape)
        error = first
        while True:
            by_row = sum(here[:, cols] @ cost.T for here, cost in zip(where, costs, strict=True))
            rows = linear_sum_assignment(by_row.T)[1]
            by_col = sum(here[rows].T @ cost for here, cost in zip(where, costs, strict=True))
            chosen, cols = linear_sum_assignment(by_col.T)
            left = float(by_col[cols, chosen].sum(dtype=np.float64))
            if min(error - left, left) < ENOUGH * first:  # or there is no more to gain
                return rows, cols
            error = left


@dataclass(frozen=True, eq=False)
class _Reach:
    """How far off weights are, by what is stuck."""

    kind: Numbers
    """Which of them each fault is; several may come to the same."""
    kinds: int
    miss: Callable[[Floats, Numbers], Floats]
    """In states, of what is wanted and a kind, which may be of one element."""


def _reaches(names: Sequence[str], faults: Numbers, target: Target) -> dict[bool, _Reach]:
    """By whether the working devices of a weight make up for the others.

    `faults` is [names, faults]: the state of each device, or `WORKS`.
    """
    device = target.device
    count = sum(name[0] == "+" for name in names)
    shares = np.asarray(device.cells(device.devices_per_polarity // count), np.float32)
    low, high = device.state_min / shares.sum(), device.state_max / shares.sum()
    plus = np.asarray([name[0] == "+" for name in names])[:, None]
    share = np.asarray([shares[int(name[1:])] for name in names])[:, None]
    signed = np.where(plus, share, -share)
    stuck = faults != WORKS
    level = np.where(faults == ON, high, low)

    def total(of: Any, which: NDArray[np.bool_]) -> Any:
        return (of * which).sum(axis=0)

    fixed = total(signed * level, stuck)
    works = [total(share, ~stuck & plus), total(share, ~stuck & ~plus)]
    made_up = _between(
        fixed + works[0] * low - works[1] * high, fixed + works[0] * high - works[1] * low
    )
    if device.significance > 1:
        levels = [[np.full(faults.shape[1], np.nan)] * 2 for _ in shares]
        for name, is_stuck, at in zip(names, stuck, level, strict=True):
            levels[int(name[1:])]["+-".index(name[0])] = np.where(is_stuck, at, np.nan)
        alone = _one_by_one(np.asarray(levels), shares, low, high)
    else:
        floor = low if device.encoding == "differential" else 0.0
        alone = _as_shared_out(
            total(signed * (level - floor), stuck),
            total(share, stuck & plus) / shares.sum(),
            total(share, stuck & ~plus) / shares.sum(),
        )
    return {False: alone, True: made_up}


def _distinct(*figures: NDArray[np.float64]) -> tuple[Numbers, NDArray[np.float32]]:
    """Which of the distinct columns of figures each fault has, and these, [figures, kinds]."""
    table = np.stack(figures).astype(np.float32)
    distinct, kind = np.unique(table, axis=1, return_inverse=True)
    return kind.ravel(), distinct


def _between(lowest: NDArray[np.float64], highest: NDArray[np.float64]) -> _Reach:
    """Weights that can be all between the two."""
    kind, (low, high) = _distinct(lowest, highest)

    def miss(wanted: Floats, of: Numbers) -> Floats:
        return np.maximum(low[of] - wanted, 0) + np.maximum(wanted - high[of], 0)

    return _Reach(kind, len(low), miss)


def _as_shared_out(
    states: NDArray[np.float64], plus: NDArray[np.float64], minus: NDArray[np.float64]
) -> _Reach:
    """Devices that each hold their share, whatever the others do: `states` are what stuck devices
    contribute, `plus` and `minus` the share of these in all that is positive and negative."""
    kind, (fixed, of_plus, of_minus) = _distinct(states, plus, minus)

    def miss(wanted: Floats, of: Numbers) -> Floats:
        positive, negative = np.maximum(wanted, 0), np.maximum(-wanted, 0)
        return fixed[of] - of_plus[of] * positive + of_minus[of] * negative

    return _Reach(kind, len(fixed), miss)


def _one_by_one(
    levels: NDArray[np.float64], shares: NDArray[np.float32], low: float, high: float
) -> _Reach:
    """Devices of falling significance, each of which makes up for the error of those before.

    `levels` is [devices, polarities, faults], not a number where a device works.
    """
    figures = np.nan_to_num(levels, nan=-1.0)  # no state is below 0
    kind, table = _distinct(*figures.reshape(-1, levels.shape[-1]))
    by_kind = table.reshape(len(shares), 2, -1)

    def miss(wanted: Floats, of: Numbers) -> Floats:
        missing, rest = wanted, shares.sum()
        for share, (plus, minus) in zip(shares, by_kind, strict=True):
            each = np.clip(missing / rest, low - high, high - low)
            held = np.where(plus[of] < 0, np.maximum(each, 0) + low, plus[of]) - np.where(
                minus[of] < 0, np.maximum(-each, 0) + low, minus[of]
            )
            missing, rest = missing - share * held, rest - share
        return missing

    return _Reach(kind, by_kind.shape[-1], miss)
