"""Why a matrix is where it is: every sentence follows from facts of the program."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.tables import count, facts, listed
from afmc.fit import Lever
from afmc.inspect.kinds import kind_of, pieces_of
from afmc.inspect.recovered import recovery_of_matrix
from afmc.inspect.selection import select
from afmc.passes.cutting.cuts import STYLES, cut
from afmc.program.layout import sorted_set
from afmc.program.model import ONE, Matrix, matches
from afmc.program.program import SCHEMA_VERSION, Group, Program, Table
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import CompiledProgram

Reason = tuple[str, str]
"""What it is about, and a sentence."""


def why_json(compiled: CompiledProgram, name: str) -> dict[str, Any]:
    """``inspect --why NAME --json``. Matrices of one kind with the same reasons are explained
    together, their numbers replaced by ``*``."""
    program = compiled.program
    matrices = select(program, name, "--why")
    explain = _Explainer(compiled)
    called = kind_of if len(matrices) > 1 else str
    alike: dict[tuple[str, tuple[Reason, ...]], list[str]] = {}
    for matrix in matrices:
        reasons = tuple(explain(matrix, called))
        alike.setdefault((called(matrix.name), reasons), []).append(matrix.name)
    return {
        "schema_version": SCHEMA_VERSION,
        "model": program.model.name,
        "target": compiled.target.name,
        "why": name,
        "explained": [
            {
                "matrices": names,
                "side": "digital" if names[0] in (program.digital or {}) else "analog",
                "reasons": [{"about": about, "sentence": text} for about, text in reasons],
            }
            for (_, reasons), names in alike.items()
        ],
    }


def render_why(compiled: CompiledProgram, name: str, lines: int) -> RenderableType:
    """Renders it for a person, for at most so many kinds of matrices."""
    from rich.console import Group as Several
    from rich.text import Text

    found = why_json(compiled, name)["explained"]
    parts: list[RenderableType] = []
    for each in found[:lines]:
        first, *others = each["matrices"]
        alike = f" and {count(len(others), 'other')} of {kind_of(first)}" if others else ""
        parts += [
            Text(f"{first}{alike}: {each['side']}"),
            facts((reason["about"], reason["sentence"]) for reason in each["reasons"]),
        ]
    if len(found) > lines:
        parts.append(Text(f"and {len(found) - lines:,} more kinds (--lines)"))
    return Several(*parts)


@dataclass(frozen=True, eq=False)
class _Explainer:
    compiled: CompiledProgram

    @property
    def program(self) -> Program:
        return self.compiled.program

    @property
    def target(self) -> Target:
        return self.compiled.target

    def __call__(self, matrix: Matrix, called: Callable[[str], str]) -> Iterator[Reason]:
        """Reasons, with other matrices named by `called`."""
        reason = (self.program.digital or {}).get(matrix.name)
        if reason is not None:
            yield "digital", f"{reason}."
        else:
            number = self.compiled.layout.group_of[matrix.name]
            yield "analog", self._analog(matrix)
            yield self._merge(matrix, self.program.groups[number], called)
            yield "cut", self._cut(number)
            yield "tiles", self._tiles(number, called)
            yield "replicas", self._replicas(self.program.groups[number])
            yield "input range", self._range(matrix, called)
            if self.program.recovery is not None:
                yield "recovery", recovery_of_matrix(self.program.recovery, matrix)
        yield "use", self._use(matrix)
        yield from self._around(matrix, called)
        for lever in self.compiled.levers:
            if self._is_about(lever, matrix):
                yield "lever", f"{lever}."

    @cached_property
    def _options(self) -> dict[str, dict[str, Any]]:
        return {step.name: dict(step.options) for step in self.program.applied}

    def _option(self, step: str, option: str) -> Any:
        return self._options.get(step, {}).get(option)

    def _analog(self, matrix: Matrix) -> str:
        layer = matrix.layer.rpartition(".")[2] or "the model itself"
        patterns = self._option("partition", "digital")
        kept = (
            f"none of the patterns {listed(list(map(repr, patterns)))} is about it"
            if (patterns)
            else "no pattern keeps it digital"
        )
        return (
            f"its product, {matrix.operation} in {layer}, is one that a tile can stand in for; "
            f"what it computes is not ranked, and {kept}."
        )

    def _merge(self, matrix: Matrix, group: Group, called: Callable[[str], str]) -> Reason:
        enabled = self._option("merge", "enabled")
        chosen = "by another pass than merge"
        if enabled is not None:
            chosen = f"by merge.enabled={str(enabled).lower()}"
        if enabled == "auto":
            chosen += f", for {self._aim('merge')}"
        named = f" ({matrix.input})" if called is str else ""
        if len(group.members) > 1:
            others = [called(name) for name in group.members if name != matrix.name]
            return "merged", (
                f"with {listed(others)}: they read one input{named} by one "
                f"input range, over the same {group.rows:,} rows; merged {chosen}."
            )
        readers = [
            other
            for other in self.program.matrices
            if other.input == matrix.input and other.name != matrix.name
        ]
        if not readers:
            return "not merged", f"no other matrix reads its input{named}."
        apart = []
        for other in readers:
            obstacle = self._obstacle(matrix, other)
            obstacle = obstacle or f"and was left apart {chosen}"
            apart.append(f"{called(other.name)} reads the same input, {obstacle}")
        return "not merged", f"{'; '.join(apart)}."

    def _obstacle(self, matrix: Matrix, other: Matrix) -> str | None:
        """Why two matrices of one input cannot be merged; None if they can."""
        if other.name in (self.program.digital or {}):
            return "but is digital"
        if (other.rows, other.copies) != (matrix.rows, matrix.copies):
            return "but has other rows or copies"
        if other.per_token != matrix.per_token:
            return "but is used more or less often"
        if other.drive != matrix.drive:
            return "but by another input range, and a row driver has one"
        return None

    def _aim(self, step: str) -> str:
        objective = self._option(step, "objective")
        rule = self.program.allocation.rule if self.program.allocation else None
        return f"the objective {objective} under the rule {rule}"

    def _cut(self, number: int) -> str:
        group = self.program.groups[number]
        rows, columns = self.target.crossbar.rows, self.target.crossbar.columns
        size = f"{group.rows:,} x {group.cols:,}"
        owner = "the merged matrix of " if len(group.members) > 1 else ""
        grid = self._grid(number)
        if len(grid) == 1:
            return f"not at all: {owner}{size} fits a crossbar of {rows} x {columns}."
        style = self._option("split", "style")
        how = "" if style is None else f"; split.style={style}"
        if style == "auto":
            same = [
                [each for each in STYLES if cut(length, limit, each).tolist() == sizes]
                for length, limit, sizes in (
                    (group.rows, rows, _sizes(grid, "row", "rows")),
                    (group.cols, columns, _sizes(grid, "col", "cols")),
                )
            ]
            if all(same):
                how += f" chose {same[0][0]} for rows and {same[1][0]} for columns"
            how += f", for {self._aim('split')}"
        slices = len(np.unique(grid["row"]))
        sums = (
            f"; the {slices} partial sums of each column are added digitally"
            if slices > 1
            else "; no partial sums, because its rows are not cut"
        )
        return (
            f"{owner}{size} into {pieces_of(grid)}, {len(grid):,} blocks, because a crossbar has "
            f"{rows} rows and {columns} columns{how}{sums}."
        )

    def _grid(self, number: int) -> Table:
        first, end = self._bounds[number : number + 2]
        blocks = self.program.blocks[self._by_group[first:end]]
        return blocks[(blocks["copy"] == 0) & (blocks["replica"] == 0)]

    @cached_property
    def _by_group(self) -> Any:
        return np.argsort(self.program.blocks["group"], kind="stable")

    @cached_property
    def _bounds(self) -> Any:
        counts = np.bincount(self.program.blocks["group"], minlength=len(self.program.groups))
        return np.concatenate([[0], np.cumsum(counts)])

    def _tiles(self, number: int, called: Callable[[str], str]) -> str:
        allocation = self.program.allocation
        assert allocation is not None
        asked, own = self._option("allocate", "rule"), self.target.tile.co_location
        source = "which is the target's" if allocation.rule == own else "which the passes chose"
        if asked == allocation.rule:
            source = f"by allocate.rule={asked}"
        elif self._option("allocate", "objective") == "latency" and allocation.rule != own:
            source = "because the objective latency lets nothing wait"
        others = self._others(number)
        beside = "matrices that are not merged with it"
        if len(self.program.groups[number].members) == 1:
            beside = "other matrices"
        shared = f"it shares no crossbar with {beside}"
        if others:
            names = dict.fromkeys(called(self.program.groups[each].name) for each in others)
            shared = f"it shares crossbars with {listed(list(names))}"
        return f"the rule is {allocation.rule}, {source}; {shared}."

    def _others(self, number: int) -> list[int]:
        """Groups on the crossbars of a group, in dataflow order."""
        crossbar, group = self._shared
        here = np.zeros(int(crossbar.max(initial=-1)) + 1, np.bool_)
        here[crossbar[group == number]] = True
        return [each for each in sorted_set(group[here[crossbar]]).tolist() if each != number]

    @cached_property
    def _shared(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Crossbars that several groups are on, each with each of them."""
        groups = len(self.program.groups)
        of_place = self.program.blocks["group"][self.program.placements["block"]]
        pairs = sorted_set(self.compiled.layout.crossbars * groups + of_place)
        crossbar, group = divmod(pairs, groups)
        alone = np.ones(len(pairs), np.bool_)
        same = crossbar[1:] == crossbar[:-1]
        alone[1:][same] = alone[:-1][same] = False
        return crossbar[~alone], group[~alone]

    def _replicas(self, group: Group) -> str:
        claim = self.program.replication
        if claim is None:
            return "none: no budget of crossbars was given (replicate.tiles)."
        most = max(group.replicas, default=1)
        if self.program.averaged:
            return (
                f"{most} of each copy, whose products are averaged, within {claim.budget:,} "
                f"crossbars."
            )
        at_once = "one token" if claim.tokens == 1 else f"{claim.tokens:,} tokens at once"
        if most == 1:
            return (
                f"none: of {claim.budget:,} crossbars it got no more, for the {claim.objective} of "
                f"{at_once}."
            )
        least = min(group.replicas)
        each = f"{most} of each copy" if least == most else f"{least} to {most} of a copy"
        return f"{each}, for the {claim.objective} of {at_once} within {claim.budget:,} crossbars."

    def _range(self, matrix: Matrix, called: Callable[[str], str]) -> str:
        if matrix.input_range is None:
            known = (
                "only shapes were read" if self.program.model.shapes_only else "none is recorded"
            )
            return f"none: {known}."
        calibration = self.program.calibration
        method = (
            "from the model"
            if calibration is None
            else (f"calibrated by {calibration.method}, unless the model brought it along")
        )
        value = f"±{matrix.input_range:.6g}"
        if matrix.slice_ranges:
            value = ", ".join(f"±{each:.6g}" for each in matrix.slice_ranges)
            value = f"{value} for row slices of nearly equal size"
        if called is kind_of:
            value = "each has its own (--layer lists them)"
        return f"{value}, {method}."

    def _use(self, matrix: Matrix) -> str:
        if matrix.copies == 1:
            products = (
                "one product" if matrix.per_token == 1 else f"{matrix.per_token:.6g} products"
            )
            unit = ONE[self.program.model.unit]
            return f"{products} of {matrix.rows:,} x {matrix.cols:,} for {unit}."
        return (
            f"{matrix.per_token:.6g} of its {matrix.copies:,} copies of {matrix.rows:,} x "
            f"{matrix.cols:,} for a token."
        )

    def _around(self, matrix: Matrix, called: Callable[[str], str]) -> Iterator[Reason]:
        """What is digital before and after it, as far as the program knows."""
        if matrix.sources:
            names = list(dict.fromkeys(map(called, matrix.sources)))
            yield (
                "before",
                f"its input is computed, digitally, from the outputs of {listed(names)}.",
            )
        readers = dict.fromkeys(called(other.name) for other in self._readers.get(matrix.name, ()))
        if readers:
            yield (
                "after",
                f"from its output the input of {listed(list(readers))} is computed, digitally.",
            )
        if matrix.bias:
            yield "bias", f"{called(matrix.bias)} is added digitally."
        if matrix.tied_to:
            yield "tied", f"it is the same weights as {called(matrix.tied_to)}."

    @cached_property
    def _readers(self) -> dict[str, list[Matrix]]:
        readers: dict[str, list[Matrix]] = {}
        for matrix in self.program.matrices:
            for source in matrix.sources:
                readers.setdefault(source, []).append(matrix)
        return readers

    def _is_about(self, lever: Lever, matrix: Matrix) -> bool:
        words = shlex.split(lever.change)
        patterns = [after for word, after in pairwise(words) if word == "--digital"]
        return any(matches(matrix, pattern) for pattern in patterns)


def _sizes(blocks: Table, start: str, size: str) -> list[int]:
    _, which = np.unique(blocks[start], return_index=True)
    return list(blocks[size][which].tolist())
