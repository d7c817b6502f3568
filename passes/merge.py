"""Matrices that read the same input become one, column after column.

A tile's input converters then drive q, k and v (or gate and up) at once, and fewer partial blocks
are left over. Nothing else changes: every column keeps its own scale and range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from afmc.fit import Rule
from afmc.passes import Alternative
from afmc.passes.cutting.choose import Company, choose, rule_for, ways
from afmc.passes.cutting.cuts import STYLES, StyleOption, check_count
from afmc.passes.packing.packed import Limits
from afmc.program.model import Matrix
from afmc.program.program import Group, Objective, Program
from afmc.targets import Target


@dataclass(frozen=True)
class Merge:
    enabled: Literal["auto"] | bool = "auto"
    """``auto``: where that is best for the objective. True merges all matrices that read the same
    input by the same range, False none."""
    objective: Objective = "tiles"
    """What the mapping is to be best in: ``tiles``, ``latency``, ``energy`` or ``accuracy``, each
    lexicographic as `afmc.passes.cutting.choose` defines it. Also that of `split` and
    `allocate`."""
    rule: Rule | None = field(default=None, metadata={"follows": "allocate.rule"})
    """Which blocks may share a tile, to decide by; that of `allocate`, or else the target's."""
    style: StyleOption = field(default="auto", metadata={"follows": "split.style"})
    """How `split` will cut, to decide by."""
    time_limit_s: float = field(
        default=Limits.time_limit_s, metadata={"follows": "allocate.time_limit_s"}
    )
    """Deterministic seconds of CP-SAT, to decide in; that of `allocate`."""

    def __call__(self, program: Program, target: Target) -> Program:
        together: dict[tuple[object, ...], list[Matrix]] = {}
        for matrix in program.analog:
            # One row driver has one range, so learned ranges that differ keep matrices apart.
            key = (*matrix.drive, matrix.rows, matrix.copies, matrix.per_token)
            together.setdefault(key, []).append(matrix)
        check_count(program.model.name, map(_group, together.values()), target)
        merged = self._merged(Counter(map(Company.of, together.values())), target)
        groups = [
            _group(members)
            for company in together.values()
            for members in ([company] if merged[Company.of(company)] else zip(company))
        ]
        position = {matrix.name: index for index, matrix in enumerate(program.analog)}
        groups.sort(key=lambda group: position[group.members[0]])
        return replace(program, groups=tuple(groups))

    def alternatives(self, program: Program, target: Target) -> Sequence[Alternative]:
        return () if self.enabled == "auto" else (Alternative({"enabled": "auto"}),)

    def _merged(self, count: Counter[Company], target: Target) -> dict[Company, bool]:
        """Whether companies of each kind become one matrix."""
        if self.enabled != "auto":
            return dict.fromkeys(count, self.enabled)
        tile = (target.crossbar.rows, target.crossbar.columns)
        styles = STYLES if self.style == "auto" else (self.style,)
        rule = rule_for(self.objective, self.rule or target.tile.co_location)
        alternatives = [
            (ways(company, (True, False)[: len(company.cols)], styles, tile, rule), number)
            for company, number in count.items()
        ]
        chosen = choose(alternatives, tile, rule, self.objective, Limits(self.time_limit_s))
        return {company: way.merged for company, way in zip(count, chosen, strict=True)}


def _group(members: Sequence[Matrix]) -> Group:
    return Group(
        members=tuple(matrix.name for matrix in members),
        rows=members[0].rows,
        cols=sum(matrix.cols for matrix in members),
        copies=members[0].copies,
    )
