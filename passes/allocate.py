"""Blocks to tiles, with a bound that says how good the answer is.

Blocks of equal shape are one type. How often a tile is filled in which way is chosen for types
(`afmc.passes.packing.pack`), so that the effort does not depend on the number of layers, and is
then stamped onto the blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from afmc.errors import OptionError
from afmc.fit import Rule
from afmc.passes import Alternative
from afmc.passes.cutting.choose import rule_for
from afmc.passes.packing.layouts import Layout
from afmc.passes.packing.pack import pack
from afmc.passes.packing.packed import Limits, Packed
from afmc.passes.packing.side_by_side import Types, inputs_of
from afmc.passes.packing.stamp import stamp
from afmc.passes.packing.turns import turns_of
from afmc.program.program import ALLOCATION, Allocation, Objective, Program, SolverStatus, Table
from afmc.targets import Target


@dataclass(frozen=True)
class Allocate:
    rule: Rule | None = None
    """Which blocks may share a tile: ``exclusive`` (one block a tile), ``parallel`` (blocks that
    share no column, and rows only where they read the same rows of the same input: nothing waits)
    or ``serial`` (any that do not overlap: blocks on one line take turns). The target's own rule
    by default."""
    objective: Objective = field(default="tiles", metadata={"follows": "merge.objective"})
    """``latency`` keeps to layouts in which nothing waits, also under ``serial``; the others take
    the fewest tiles, and of equal ones the fewest turns. That of `merge`."""
    time_limit_s: float = Limits.time_limit_s
    """CP-SAT's limit in its deterministic seconds, which do not depend on the machine's load."""
    max_patterns: int = Limits.max_patterns
    """Candidates up to which every pattern is listed; beyond it columns are generated."""

    def __call__(self, program: Program, target: Target) -> Program:
        rule = self._rule(program, target)
        if rule == "exclusive":
            table, proof = _one_block_a_tile(program.blocks), _exclusive(len(program.blocks))
        else:
            types, packed, proof = self._packed(program, target, rule)
            table = _table(program, rule, types, packed)
        return replace(program, allocation=proof, allocations=table)

    def prove(self, program: Program, target: Target) -> Allocation:
        """How many tiles, without saying which block goes where."""
        rule = self._rule(program, target)
        if rule == "exclusive":
            return _exclusive(len(program.blocks))
        return self._packed(program, target, rule)[2]

    def alternatives(self, program: Program, target: Target) -> Sequence[Alternative]:
        if program.allocation is None:
            return ()
        rules: tuple[Rule, ...] = get_args(Rule)
        more = rules[rules.index(program.allocation.rule) + 1 :]
        return tuple(Alternative({"rule": rule}, "rule") for rule in more)

    def _rule(self, program: Program, target: Target) -> Rule:
        if not len(program.blocks):
            raise OptionError(
                f"nothing of {program.model.name} is left for the tiles: the passes before "
                f"allocate keep all of its matrices digital."
            )
        if self.time_limit_s <= 0 or self.max_patterns < 1:
            raise OptionError("allocate.time_limit_s and allocate.max_patterns must be positive.")
        return rule_for(self.objective, self.rule or target.tile.co_location)

    def _packed(
        self, program: Program, target: Target, rule: Rule
    ) -> tuple[Types, Packed, Allocation]:
        tile = (target.crossbar.rows, target.crossbar.columns)
        types = Types(program.blocks)
        if rule == "parallel":
            types = Types.by_input(program, target.crossbar.columns)
        limits = Limits(self.time_limit_s, self.max_patterns)
        packed = pack(types.shapes, types.demand, tile, rule, limits)
        return types, packed, _proof(rule, types, packed, tile)


def _table(program: Program, rule: Rule, types: Types, packed: Packed) -> Table:
    units = types.units(packed.taken)
    apart = np.ones(len(types.shapes), np.int64)
    if rule == "serial":
        several = {of_type for layout in packed.layouts for of_type in _several(layout)}
        for of_type in several:
            apart[of_type] = _wanted_together(program, units.kind == of_type)
    return stamp(units, packed.layouts, apart)


def _several(layout: Layout) -> set[int]:
    """Types of which a layout seats more than one block."""
    seated = Counter(seat.type for seat in layout)
    return {of_type for of_type, count in seated.items() if count > 1}


def _proof(rule: Rule, types: Types, packed: Packed, tile: tuple[int, int]) -> Allocation:
    bounds = dict(packed.bounds)
    if not types.complete:  # what holds however blocks are put side by side
        width = int(types.blocks["cols"].sum(dtype=np.int64))
        bounds = {"area": bounds["area"], "columns": -(-width // tile[1])}
    bound = max(bounds.values())
    status: SolverStatus = "OPTIMAL" if bound == packed.tiles else "FEASIBLE"
    turns = {
        layout: turns_of(layout, types.shapes) if rule == "serial" else 1
        for layout in packed.layouts
    }
    total = sum(turns[layout] * tiles for layout, tiles in packed.layouts.items())
    return Allocation(
        rule=rule,
        tiles=packed.tiles,
        lower_bound=bound,
        status=status,
        bounds=bounds,
        patterns=packed.patterns,
        turns=max(turns.values()),
        mean_turns=total / packed.tiles,
    )


def _one_block_a_tile(blocks: Table) -> Table:
    table = np.zeros(len(blocks), ALLOCATION)
    table["block"] = table["tile"] = np.arange(len(blocks))
    return table


def _exclusive(blocks: int) -> Allocation:
    return Allocation("exclusive", blocks, blocks, "OPTIMAL", {"blocks": blocks}, 0)


def _wanted_together(program: Program, which: NDArray[np.bool_]) -> int:
    """How many of these blocks most often read one input, hence are wanted at once."""
    blocks = program.blocks[which]
    owner = inputs_of(program)[blocks["group"]]
    for column in (blocks["copy"], blocks["replica"]):
        owner = owner * (int(column.max()) + 1) + column
    return int(np.bincount(np.unique(owner, return_counts=True)[1]).argmax())
