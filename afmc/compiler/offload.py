"""Which matrices to keep digital, so that so many crossbars become free.

Groups of one kind in one layer stay together, and layers that are alike are one class: the choice
is a knapsack of a few whole numbers, which CP-SAT proves optimal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from ortools.sat.python import cp_model

from afmc.program.program import Group, Program

Kind = tuple[str, ...]
"""Paths of a group's modules, their numbers replaced by ``*``."""

_WHOLE = 10**9  # of all multiply-accumulates, so that the solver counts in whole parts


@dataclass(frozen=True)
class _Class:
    """Layers whose groups of one kind are alike in blocks and multiply-accumulates."""

    kind: Kind
    blocks: int
    macs: float
    """For one token."""
    layers: Sequence[int]
    """First numbers of the paths, in rising order; -1 for a path without."""


def offload(program: Program, crossbars: int) -> tuple[str, ...] | None:
    """Patterns of matrices that hold at least so many blocks, with the fewest multiply-accumulates.

    None when nothing would be left for the tiles.
    """
    classes = _classes(program)
    total = sum(each.macs * len(each.layers) for each in classes) or 1.0
    model = cp_model.CpModel()
    taken = [model.new_int_var(0, len(each.layers), "") for each in classes]
    blocks = [each.blocks for each in classes]
    costs = [1 + round(_WHOLE * each.macs / total) for each in classes]
    model.add(cp_model.LinearExpr.weighted_sum(taken, blocks) >= crossbars)
    model.add(cp_model.LinearExpr.sum(taken) < sum(len(each.layers) for each in classes))
    model.minimize(cp_model.LinearExpr.weighted_sum(taken, costs))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # one worker and a fixed seed: the same answer every time
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = 10
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    every: dict[Kind, set[int]] = defaultdict(set)
    chosen: dict[Kind, set[int]] = defaultdict(set)
    for each, variable in zip(classes, taken, strict=True):
        every[each.kind].update(each.layers)
        chosen[each.kind].update(each.layers[: solver.value(variable)])
    return tuple(
        pattern
        for kind, layers in chosen.items()
        for path in kind
        for pattern in _patterns(program, path, sorted(every[kind]), layers)
    )


def _classes(program: Program) -> list[_Class]:
    blocks = np.bincount(program.blocks["group"], minlength=len(program.groups)).tolist()
    units: dict[tuple[Kind, int], list[int]] = defaultdict(list)
    for index, group in enumerate(program.groups):
        units[_kind_of(program, group)].append(index)
    alike: dict[tuple[Kind, int, float], list[int]] = defaultdict(list)
    for (kind, layer), indices in units.items():
        members = [name for index in indices for name in program.groups[index].members]
        macs = sum(program.matrix(name).macs_per_token for name in members)
        alike[kind, sum(blocks[index] for index in indices), macs].append(layer)
    return [_Class(*key, sorted(layers)) for key, layers in alike.items()]


def _kind_of(program: Program, group: Group) -> tuple[Kind, int]:
    """And the first number in its paths."""
    paths = [_path(program, name) for name in group.members]
    numbers = [part for part in paths[0].split(".") if part.isdigit()]
    return tuple(re.sub(r"\b\d+\b", "*", path) for path in paths), int([*numbers, "-1"][0])


def _path(program: Program, name: str) -> str:
    """What `--digital` calls it: its module, but a bank of experts by its own name."""
    matrix = program.matrix(name)
    return name if matrix.copies > 1 else matrix.module or name


def _patterns(program: Program, path: str, every: Sequence[int], layers: set[int]) -> Iterator[str]:
    """For `--digital`: the matrices of a kind in some of all the layers that have them."""
    if len(layers) == len(every):
        last = path.rpartition(".")[2]
        named = {_path(program, m.name) for m in program.analog}
        of_kind = {each for each in named if re.sub(r"\b\d+\b", "*", each) == path}
        called = {each for each in named if each.rpartition(".")[2] == last}
        yield last if of_kind == called and last != "*" else path
        return
    before, _, after = path.partition("*")
    for wanted, run in groupby(every, lambda layer: layer in layers):
        if wanted:
            consecutive = list(run)
            for glob in _globs(consecutive[0], consecutive[-1]):
                yield f"{before}{glob}{after}"


def _globs(low: int, high: int) -> list[str]:
    """Patterns of the numbers from `low` to `high`: ``8`` to ``12`` are ``[8-9]``, ``1[0-2]``."""
    digits = len(str(low))
    if digits < len(str(high)):
        return _globs(low, 10**digits - 1) + _globs(10**digits, high)
    (tens, first), (last_tens, last) = divmod(low, 10), divmod(high, 10)
    if digits == 1 or tens == last_tens:
        unit = str(first) if first == last else f"[{first}-{last}]"
        return [f"{tens or ''}{unit}"]
    begin = _globs(low, 10 * tens + 9) if first else []
    end = _globs(10 * last_tens, high) if last < 9 else []
    tens, last_tens = tens + bool(first), last_tens - (last < 9)
    middle = [f"{each}[0-9]" for each in _globs(tens, last_tens)] if tens <= last_tens else []
    return begin + middle + end
