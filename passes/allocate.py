"""Blocks to tiles, with a bound that says how good the answer is.

Blocks of equal shape are one type; CP-SAT chooses how often to use each maximal pattern of types
(a set-covering model whose size does not depend on the number of layers), and the choice is then
stamped onto the blocks. A greedy cover comes first and is the solver's hint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from afmc.errors import OptionError
from afmc.ir import ALLOCATION, Allocation, Program, Rule, SolverStatus, Table
from afmc.passes.columns import generate_columns
from afmc.passes.patterns import Counts, fits_with_another, greedy_cover, maximal_patterns
from afmc.targets import Target


@dataclass(frozen=True)
class Allocate:
    rule: Rule | None = None
    """Which blocks may share a tile: ``exclusive`` (one block a tile) or ``parallel`` (blocks that
    share neither a row nor a column; a shared input is the business of `merge`, which comes
    before). The target's own rule by default."""
    time_limit_s: float = 30.0
    """CP-SAT's limit in its deterministic seconds, which do not depend on the machine's load."""
    max_patterns: int = 20_000
    """Candidates up to which every pattern is listed; beyond it columns are generated."""

    def __call__(self, program: Program, target: Target) -> Program:
        rule = self.rule or target.tile.co_location
        if self.time_limit_s <= 0 or self.max_patterns < 1:
            raise OptionError("allocate.time_limit_s and allocate.max_patterns must be positive.")
        tile = (target.crossbar.rows, target.crossbar.columns)
        if rule == "exclusive":
            table, proof = _one_block_a_tile(program.blocks)
        elif rule == "parallel":
            table, proof = self._pack(program.blocks, tile)
        else:
            raise OptionError(f"allocate.rule must be 'exclusive' or 'parallel', but is {rule!r}.")
        return replace(program, allocation=proof, allocations=table)

    def _pack(self, blocks: Table, tile: tuple[int, int]) -> tuple[Table, Allocation]:
        shapes, kind, demand = _types(blocks)
        shared = fits_with_another(shapes, demand, tile)
        alone = int(demand[~shared].sum())
        bounds = {"area": int(-(-_area(shapes, demand) // (tile[0] * tile[1])))}
        if not shared.any():
            table, proof = _one_block_a_tile(blocks)
            return table, replace(
                proof, rule="parallel", bounds={**bounds, "nothing can share": alone}
            )
        shapes, demand = shapes[shared], demand[shared]
        extent = (demand @ shapes) / np.asarray(tile)
        bounds["rows and columns"] = alone + int(np.ceil(extent).max())
        patterns = maximal_patterns(shapes, demand, tile, self.max_patterns)
        if patterns is None:
            patterns, linear = generate_columns(shapes, demand, tile, self.time_limit_s)
            bounds["linear master"] = alone + linear
            complete = False
        else:
            complete = True
        times, solver_bound = _cover(patterns, demand, self.time_limit_s)
        if complete:
            bounds["set cover"] = alone + solver_bound
        table = _in_dataflow_order(_stamp(kind, shared, shapes, patterns, times))
        tiles = int(table["tile"].max()) + 1  # a pattern that was not needed leaves no tile
        bound = max(bounds.values())
        status: SolverStatus = "OPTIMAL" if bound == tiles else "FEASIBLE"
        return table, Allocation("parallel", tiles, bound, status, bounds, len(patterns))


def _one_block_a_tile(blocks: Table) -> tuple[Table, Allocation]:
    table = np.zeros(len(blocks), ALLOCATION)
    table["block"] = table["tile"] = np.arange(len(blocks))
    count = len(blocks)
    return table, Allocation("exclusive", count, count, "OPTIMAL", {"blocks": count}, 0)


def _types(blocks: Table) -> tuple[Counts, Counts, Counts]:
    """Distinct shapes [types, 2], the type of every block, and how many there are of each."""
    size = np.stack([blocks["rows"], blocks["cols"]], axis=1).astype(np.int64)
    shapes, kind, demand = np.unique(size, axis=0, return_inverse=True, return_counts=True)
    return shapes, kind.ravel(), demand


def _area(shapes: Counts, demand: Counts) -> int:
    return int(shapes.prod(axis=1) @ demand)


def _cover(patterns: Counts, demand: Counts, time_limit_s: float) -> tuple[Counts, int]:
    """How often to use each pattern, and the solver's lower bound over these patterns."""
    hint = greedy_cover(patterns, demand)
    model = cp_model.CpModel()
    times = [model.new_int_var(0, int(demand.max()), f"times{i}") for i in range(len(patterns))]
    for of_type, needed in zip(patterns.T.tolist(), demand.tolist(), strict=True):
        model.add(cp_model.LinearExpr.weighted_sum(times, of_type) >= needed)
    model.minimize(cp_model.LinearExpr.sum(times))
    for variable, value in zip(times, hint.tolist(), strict=True):
        model.add_hint(variable, value)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # one worker and a fixed seed: the same answer every time
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = time_limit_s
    status = solver.solve(model)
    bound = int(np.ceil(solver.best_objective_bound - 1e-6))
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, max(bound, 0)  # no answer in time says nothing about there being none
    chosen = np.asarray([solver.value(variable) for variable in times], np.int64)
    return (chosen if chosen.sum() <= hint.sum() else hint), bound


def _stamp(
    kind: Counts, shared: NDArray[np.bool_], shapes: Counts, patterns: Counts, times: Counts
) -> Table:
    """One row for every block: the slots of the chosen patterns, filled in the order of blocks."""
    table = np.zeros(len(kind), ALLOCATION)
    table["block"] = np.arange(len(kind))
    lonely = np.flatnonzero(~shared[kind])
    table["tile"][lonely] = np.arange(len(lonely))
    slots: list[list[Table]] = [[] for _ in shapes]
    first = len(lonely)
    for pattern, repeat in zip(patterns, times.tolist(), strict=True):
        if not repeat:
            continue
        row = col = 0
        for of_type, count in enumerate(pattern.tolist()):
            for _ in range(count):
                slot = np.zeros(repeat, ALLOCATION)
                slot["tile"] = np.arange(first, first + repeat)
                slot["row"], slot["col"] = row, col
                slots[of_type].append(slot)
                row += int(shapes[of_type][0])  # down the diagonal: no row, no column twice
                col += int(shapes[of_type][1])
        first += repeat
    for of_type, original in enumerate(np.flatnonzero(shared)):
        members = np.flatnonzero(kind == original)
        free = np.concatenate(slots[of_type])
        free = free[np.lexsort([free["row"], free["tile"]])][: len(members)]
        for key in ("tile", "row", "col"):
            table[key][members] = free[key]
    return table


def _in_dataflow_order(table: Table) -> Table:
    """Tiles renumbered by their first block, so that neighbours in the model are neighbours."""
    tiles, first, inverse = np.unique(table["tile"], return_index=True, return_inverse=True)
    rank = np.empty(len(tiles), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(tiles))
    table["tile"] = rank[inverse.ravel()]
    return table
