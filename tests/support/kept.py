"""Small mappings on disk, laid out by hand, with everything that a mapping can have.

Two matrices in one group, one with a bias that is tied to an embedding, one that is digital, and a
bank of three experts of which the first is there twice; on two chips of one tile with two tiers,
whose crossbars have 16 x 12 weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from afmc import artifact
from afmc.inspect import summarise
from afmc.ir import (
    ALLOCATION,
    BLOCK,
    PLACEMENT,
    Allocation,
    Applied,
    Group,
    Matrix,
    Model,
    Program,
    Remainder,
    Rule,
    Table,
)
from afmc.targets import Target, load_target

MATRICES = (
    Matrix("q.weight", 16, 8, "x", input_range=2.0, module="q"),
    Matrix("k.weight", 16, 4, "x", input_range=2.0, module="k"),
    Matrix("b.weight", 10, 6, "y", input_range=1.0, module="b", bias="b.bias", tied_to="e.weight"),
    Matrix("experts", 6, 6, "z", 3, 2.0, input_range=3.0, module="mlp", sources=("b.weight",)),
    Matrix("d.weight", 5, 5, "w", module="d", stored="rows_cols"),
)
GROUPS = (
    Group(("q.weight", "k.weight"), 16, 12),
    Group(("b.weight",), 10, 6),
    Group(("experts",), 6, 6, 3, (2, 1, 1)),
)
BLOCKS = [
    (0, 0, 0, 0, 0, 8, 8),
    (0, 0, 0, 0, 8, 8, 4),
    (0, 0, 0, 8, 0, 8, 8),
    (0, 0, 0, 8, 8, 8, 4),
    (1, 0, 0, 0, 0, 10, 6),
    (2, 0, 0, 0, 0, 6, 6),
    (2, 0, 1, 0, 0, 6, 6),
    (2, 1, 0, 0, 0, 6, 6),
    (2, 2, 0, 0, 0, 6, 6),
]
# Tile, row and column of each block. Under `parallel` the first four share rows of the same input
# and columns of the same outputs, others lie on the diagonal; under `serial` anything goes.
LAYOUTS: dict[Rule, list[tuple[int, int, int]]] = {
    "exclusive": [(tile, 0, 0) for tile in range(9)],
    "parallel": [
        (0, 0, 0), (0, 0, 8), (0, 8, 0), (0, 8, 8),
        (1, 0, 0), (1, 10, 6),
        (2, 0, 0), (2, 6, 6),
        (3, 0, 0),
    ],
    "serial": [
        (0, 0, 0), (0, 0, 8), (0, 8, 0), (0, 8, 8),
        (1, 0, 0), (1, 0, 6), (1, 10, 0), (1, 6, 6),
        (2, 3, 1),
    ],
}  # fmt: skip


def target(rule: Rule) -> Target:
    return load_target(
        "afm-512-projected",
        {
            "crossbar.rows": 16,
            "crossbar.columns": 12,
            "tile.tiers": 2,
            "chip.tiles": 1,
            "system.chips": 5,
            "tile.co_location": rule,
        },
    )


def program(rule: Rule) -> Program:
    blocks = np.array(BLOCKS, BLOCK)
    layout = LAYOUTS[rule]
    allocations = np.array([(i, *place) for i, place in enumerate(layout)], ALLOCATION)
    placements = np.array(
        [(i, tile // 2, 0, tile % 2, row, col) for i, (tile, row, col) in enumerate(layout)],
        PLACEMENT,
    )
    tiles = len({tile for tile, _, _ in layout})
    bounds = {"blocks": 9} if rule == "exclusive" else {"area": 3, "solver": 2}
    lower = max(bounds.values())
    return Program(
        model=Model("kept", "Kept", "0" * 64, sum(m.weights for m in MATRICES) + 6 + 7),
        matrices=MATRICES,
        remainder=(
            Remainder("aten.mul.Tensor", 2, "scale", 4),
            Remainder("aten.bmm.default", 1, "not lowered yet", 3),
        ),
        digital={"d.weight": "kept digital"},
        groups=GROUPS,
        blocks=blocks,
        allocation=Allocation(
            rule, tiles, lower, "OPTIMAL" if lower == tiles else "FEASIBLE", bounds, 4
        ),
        allocations=allocations,
        placements=placements,
        applied=(Applied("allocate", {"rule": None}),),
    )


def write(folder: Path, rule: Rule = "parallel") -> Path:
    """A mapping that is right."""
    mapped = program(rule)
    assert mapped.allocation is not None
    # The words about the bound are no figure, and not every rule has them.
    worded = replace(mapped, allocation=replace(mapped.allocation, rule="parallel"))
    summary = {**summarise(worded, target(rule), []), "rule": rule}
    artifact.write(folder, mapped, target(rule), summary, dict)
    return folder


def edit(folder: Path, *path: str | int, to: Any) -> None:
    """Sets one value of program.json."""
    file = folder / artifact.PROGRAM
    data = json.loads(file.read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    file.write_text(json.dumps(data))


def read_tables(folder: Path) -> dict[str, Table]:
    with np.load(folder / artifact.TABLES) as stored:
        return dict(stored)


def write_tables(folder: Path, tables: Mapping[str, Any]) -> None:
    with (folder / artifact.TABLES).open("wb") as file:
        np.savez(file, **tables)
