"""Where blocks are: crossbars counted through, and the parts of matrices that blocks hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.program.model import Matrix
from afmc.program.program import Program, Table
from afmc.targets import Target

# The part of a matrix in one block, and where it is. `matrix` counts in Program.matrices, `row` and
# `col` in that matrix, `at_row` and `at_col` in the order of the crossbar's lines.
PART = np.dtype(
    [
        (name, "<i4")
        for name in (
            *("matrix", "block", "copy", "replica", "row", "col", "rows", "cols"),
            *("chip", "tile", "tier", "at_row", "at_col"),
        )
    ]
)


def crossbars_of(program: Program, target: Target) -> NDArray[np.int64]:
    """The crossbar of each placement, counted through."""
    return number_of(program.placements, target)


def number_of(places: Table, target: Target) -> NDArray[np.int64]:
    """The crossbar of each place, counted through."""
    tile = places["chip"].astype(np.int64) * target.chip.tiles + places["tile"]
    return tile * target.tile.tiers + places["tier"]


def sorted_set(values: NDArray[Any]) -> NDArray[Any]:
    """Values without repetition, in order. As np.unique, which is slow for millions."""
    values = np.sort(values)
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return values[new]


def address(part: Any, target: Target) -> str:
    """``chip/tile``, and the tier of stacked tiles, as ``--tile`` takes it."""
    tier = f"/{part['tier']}" if target.tile.tiers > 1 else ""
    return f"{part['chip']}/{part['tile']}{tier}"


def parts_of(program: Program, matrices: Collection[Matrix]) -> Table:
    """The parts of these matrices, matrix after matrix, in the order of blocks."""
    index = {matrix.name: number for number, matrix in enumerate(program.matrices)}
    wanted = np.zeros(len(program.groups), np.bool_)
    names = {matrix.name for matrix in matrices}
    for number, group in enumerate(program.groups):
        wanted[number] = not names.isdisjoint(group.members)
    of_group = program.blocks["group"][program.placements["block"]]
    parts = parts_on(program, program.placements[wanted[of_group]])
    chosen = np.zeros(len(program.matrices), np.bool_)
    chosen[[index[name] for name in names]] = True
    parts = parts[chosen[parts["matrix"]]]
    key = parts["matrix"].astype(np.int64) * len(program.blocks) + parts["block"]
    return parts[np.argsort(key, kind="stable")]


def parts_on(program: Program, places: Table) -> Table:
    """The parts of all matrices in these places, place after place."""
    blocks = program.blocks[places["block"]]
    index = {matrix.name: number for number, matrix in enumerate(program.matrices)}
    most = max((len(group.members) for group in program.groups), default=0)
    member = np.full((len(program.groups), most), -1, np.int32)
    first, width = np.zeros_like(member), np.zeros_like(member)
    for number, group in enumerate(program.groups):
        col = 0
        for slot, name in enumerate(group.members):
            cols = program.by_name[name].cols
            member[number, slot], first[number, slot], width[number, slot] = index[name], col, cols
            col += cols
    found, order = [], []
    for slot in range(most):
        offset, cols = first[blocks["group"], slot], width[blocks["group"], slot]
        start = np.maximum(blocks["col"], offset)
        end = np.minimum(blocks["col"] + blocks["cols"], offset + cols)
        here = np.flatnonzero(start < end)
        part = np.zeros(len(here), PART)
        part["matrix"] = member[blocks["group"][here], slot]
        part["block"] = places["block"][here]
        for key in ("copy", "replica", "row", "rows"):
            part[key] = blocks[key][here]
        part["col"] = (start - offset)[here]
        part["cols"] = (end - start)[here]
        for key in ("chip", "tile", "tier"):
            part[key] = places[key][here]
        part["at_row"] = places["row"][here]
        part["at_col"] = places["col"][here] + (start - blocks["col"])[here]
        found.append(part)
        order.append(here)
    parts = np.concatenate(found) if found else np.zeros(0, PART)
    return parts[np.argsort(np.concatenate(order), kind="stable")] if found else parts
