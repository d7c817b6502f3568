"""Small mappings on disk, laid out by hand, with everything that a mapping can have.

Two matrices in one group, one with a bias that is tied to an embedding, one that is digital, and a
bank of three experts of which the first, which gets every token, is there twice; on chips of one
tile with two tiers, whose crossbars have 16 x 12 weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sealed import seal

from afmc.fit import Rule
from afmc.inspect import summarise
from afmc.program.folder import PROGRAM, TABLES, write_program
from afmc.program.model import Matrix, Model, Remainder
from afmc.program.observed import Routing
from afmc.program.program import (
    ALLOCATION,
    BLOCK,
    PLACEMENT,
    Allocation,
    Applied,
    Group,
    Placing,
    Program,
    Replication,
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
ROUTING = np.array([[0, 1], [0, 2], [1, 0], [0, 2]], "<i4")
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
# Uses for a token: of q and k, of b, of the experts, one of which is there twice.
USES = [1.0, 1.0, 1.0, 1.0, 1.0, 1 / 3, 1 / 3, 2 / 3, 2 / 3]
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
    load = [0.0] * (tiles // 2 + 1)
    for (tile, _, _), uses in zip(layout, USES, strict=True):
        load[tile // 2] += uses
    turns, mean_turns = (3, 2.0) if rule == "serial" else (1, 1.0)
    bounds = {"blocks": 9} if rule == "exclusive" else {"area": 3, "set cover": 2}
    lower = max(bounds.values())
    return Program(
        model=Model("kept", "Kept", "0" * 64, sum(m.weights for m in MATRICES) + 6 + 7, True),
        matrices=MATRICES,
        remainder=(
            Remainder("aten.mul.Tensor", 2, "scale", 4),
            Remainder("aten.bmm.default", 1, "not lowered yet", 3, lowered=False),
        ),
        digital={"d.weight": "kept digital"},
        groups=GROUPS,
        blocks=blocks,
        # For four tokens at once: 4 turns of q, k and b; 4 of the first expert become 2.
        replication=Replication("throughput", 4, 10, 9, 4, 4, 4, "OPTIMAL"),
        routing=Routing("a sample", {"mlp": ROUTING}),
        allocation=Allocation(
            rule=rule,
            tiles=tiles,
            lower_bound=lower,
            status="OPTIMAL" if lower == tiles else "FEASIBLE",
            bounds=bounds,
            patterns=4,
            turns=turns,
            mean_turns=mean_turns,
        ),
        placing=Placing("in_order", (tiles + 1) // 2, 64.0, 9.0, 5.0, max(load), 1.0),
        allocations=allocations,
        placements=placements,
        applied=(Applied("allocate", {"rule": None}),),
    )


def write(folder: Path, rule: Rule = "parallel") -> Path:
    """A mapping that is right."""
    mapped = program(rule)
    summary = summarise(mapped, target(rule), [])
    measured = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {}}
    write_program(folder, mapped, target(rule), summary, lambda: measured)
    return folder


def edit(folder: Path, *path: str | int, to: Any) -> None:
    """Sets one value of program.json; the manifest says so."""
    file = folder / PROGRAM
    data = json.loads(file.read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    file.write_text(json.dumps(data))
    seal(folder)


def read_tables(folder: Path) -> dict[str, Table]:
    with np.load(folder / TABLES) as stored:
        return dict(stored)


def write_tables(folder: Path, tables: Mapping[str, Any]) -> None:
    with (folder / TABLES).open("wb") as file:
        np.savez(file, **tables)
    seal(folder)
