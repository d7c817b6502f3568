"""Matrices into blocks that fit a crossbar: a grid of row cuts and column cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from afmc.fit import Rule
from afmc.passes import Alternative
from afmc.passes.cutting.choose import Company, choose, rule_for, ways
from afmc.passes.cutting.cuts import STYLES, StyleOption, Styles, check_count, cut
from afmc.passes.packing.packed import Limits
from afmc.passes.packing.side_by_side import inputs_of
from afmc.program.program import BLOCK, Group, Objective, Program, Table
from afmc.targets import Target


@dataclass(frozen=True)
class Split:
    style: StyleOption = "auto"
    """``full``: whole tiles and a remainder. ``balanced``: pieces of nearly equal size, as AIHWKIT
    cuts, which gives every partial sum the same statistics. ``halved``: as full, but a remainder
    of more than half a tile is cut once more. ``auto``: for row cuts and for column cuts of each
    kind of matrix the one that is best for the objective."""
    objective: Objective = field(default="tiles", metadata={"follows": "merge.objective"})
    """What to cut for: that of `merge`."""
    rule: Rule | None = field(default=None, metadata={"follows": "allocate.rule"})
    """Which blocks may share a tile, to decide by; that of `allocate`, or else the target's."""
    time_limit_s: float = field(
        default=Limits.time_limit_s, metadata={"follows": "allocate.time_limit_s"}
    )
    """Deterministic seconds of CP-SAT, to decide in; that of `allocate`."""

    def __call__(self, program: Program, target: Target) -> Program:
        check_count(program.model.name, program.groups, target)
        together: dict[int, list[int]] = {}
        for index, read in enumerate(inputs_of(program).tolist()):
            together.setdefault(read, []).append(index)
        companies = {
            indices: _company([program.groups[index] for index in indices], program)
            for indices in map(tuple, together.values())
        }
        styles = self._styles(Counter(companies.values()), target)
        cuts: dict[int, tuple[int, int, Styles]] = {}
        for indices, company in companies.items():
            for index, each in zip(indices, styles[company], strict=True):
                group = program.groups[index]
                cuts[index] = (group.rows, group.cols, each)
        grids = {each: _grid(*each, target) for each in set(cuts.values())}
        sizes = [group.copies * len(grids[cuts[i]]) for i, group in enumerate(program.groups)]
        blocks = np.zeros(sum(sizes), BLOCK)
        start = 0
        for index, (group, size) in enumerate(zip(program.groups, sizes, strict=True)):
            mine = blocks[start : start + size].reshape(group.copies, -1)
            mine[:] = grids[cuts[index]]
            mine["group"], mine["copy"] = index, np.arange(group.copies)[:, None]
            start += size
        return replace(program, blocks=blocks)

    def alternatives(self, program: Program, target: Target) -> Sequence[Alternative]:
        return () if self.style == "auto" else (Alternative({"style": "auto"}),)

    def _styles(self, count: Counter[Company], target: Target) -> dict[Company, tuple[Styles, ...]]:
        """How each group of companies of each kind is cut."""
        if self.style != "auto":
            same = (self.style, self.style)
            return {company: (same,) * len(company.cols) for company in count}
        tile = (target.crossbar.rows, target.crossbar.columns)
        rule = rule_for(self.objective, self.rule or target.tile.co_location)
        alternatives = [
            (ways(company, (False,), STYLES, tile, rule), number)
            for company, number in count.items()
        ]
        chosen = choose(alternatives, tile, rule, self.objective, Limits(self.time_limit_s))
        return {company: way.styles for company, way in zip(count, chosen, strict=True)}


def _company(groups: Sequence[Group], program: Program) -> Company:
    """Groups that read one input; each is one matrix, whatever it was merged from."""
    uses = program.matrix(groups[0].members[0]).per_token
    return Company(groups[0].rows, tuple(group.cols for group in groups), groups[0].copies, uses)


def _grid(rows: int, cols: int, styles: Styles, target: Target) -> Table:
    row_sizes = cut(rows, target.crossbar.rows, styles[0])
    col_sizes = cut(cols, target.crossbar.columns, styles[1])
    row, col = np.meshgrid(np.arange(len(row_sizes)), np.arange(len(col_sizes)), indexing="ij")
    grid = np.zeros(row.size, BLOCK)
    grid["rows"] = row_sizes[row.ravel()]
    grid["cols"] = col_sizes[col.ravel()]
    grid["row"] = (np.cumsum(row_sizes) - row_sizes)[row.ravel()]
    grid["col"] = (np.cumsum(col_sizes) - col_sizes)[col.ravel()]
    return grid
