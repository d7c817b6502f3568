"""The bounds that are computed again, against every pair of blocks and against the compiler's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import target, write
from profiles import examples
from programs import compiled
from strategies import SETTINGS, programs, targets

from afmc.inspect import summarise
from afmc.passes.packing.bounds import best, dual_feasible
from afmc.passes.packing.demand import Demand
from afmc.program.folder import write_program
from afmc.program.program import Program
from afmc.targets import Target
from afmc.verifier import verify
from afmc.verifier.claims import known_bounds
from afmc.verifier.disk import PROGRAM, read_json, read_program, read_tables
from afmc.verifier.mapped import Mapped


@settings(max_examples=examples(40))
@given(programs(), targets(), SETTINGS)
def test_whatever_the_passes_make_passes(
    program: Program, hardware: Target, options: dict[str, object]
) -> None:
    shapes = replace(program, model=replace(program.model, shapes_only=True))
    mapped = compiled(shapes, hardware, options)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_program(out, mapped, hardware, summarise(mapped, hardware, []), dict)
        report = verify(out)
    assert report.problems == ()
    assert report["cover"].passed and report["co-location"].passed and report["bounds"].passed


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder, hardware = write(tmp_path_factory.mktemp("kept") / "out"), target("parallel")
    program = read_program(read_json(folder / PROGRAM))
    tables, lines = read_tables(folder)
    bounds = {"nothing can share": 0, "rows and columns": 0}
    program = replace(program, proof=replace(program.proof, bounds=bounds))
    return Mapped(folder, program, hardware, hardware, lines=lines, routing={}, **tables)


# Which of two inputs is read, rows and columns.
BLOCKS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 16), st.integers(1, 12)), min_size=1, max_size=6
)


def fewest(widths: list[int]) -> int:
    """Rows of blocks, none wider than 12, by trying every way to part them."""
    ways = product(range(len(widths)), repeat=len(widths))
    return min(
        len(set(way))
        for way in ways
        if all(sum(w for w, b in zip(widths, way, strict=True) if b == each) <= 12 for each in way)
    )


@settings(max_examples=examples(150))
@given(BLOCKS)
def test_bounds_follow_from_every_pair_of_blocks(
    kept: Mapped, blocks: list[tuple[int, int, int]]
) -> None:
    def fit(one: tuple[int, int, int], other: tuple[int, int, int], rule: str) -> bool:
        rows, cols = one[1] + other[1] <= 16, one[2] + other[2] <= 12
        if rule == "serial":
            return rows or cols
        return cols and (rows or one[:2] == other[:2])

    def alone(rule: str) -> list[int]:
        every = range(len(blocks))
        return [
            i for i in every if not any(fit(blocks[i], blocks[j], rule) for j in every if j != i)
        ]

    groups, rows, cols = np.asarray(blocks).T
    zeros = np.zeros(len(blocks), np.int64)
    table = {key: zeros for key in kept.blocks} | {"group": groups, "rows": rows, "cols": cols}
    lonely = alone("parallel")
    rest = [block for i, block in enumerate(blocks) if i not in lonely]
    families: dict[tuple[int, int], list[int]] = {}
    for group, height, width in rest:
        families.setdefault((group, height), []).append(width)
    apart = sum(height * fewest(widths) for (_, height), widths in families.items())
    lines = max(-(-apart // 16), -(-sum(width for *_, width in rest) // 12))
    area = {"area": -(-int(rows @ cols) // (16 * 12))}
    assert known_bounds(replace(kept, blocks=table)) == {
        **area,
        "columns": -(-int(cols.sum()) // 12),
        "nothing can share": len(lonely),
        "rows and columns": len(lonely) + lines,
    }

    def under(rule: str) -> Mapped:
        proof = replace(kept.program.proof, rule=rule)
        return replace(kept, blocks=table, program=replace(kept.program, proof=proof))

    lonely = alone("serial")
    shapes, times = np.unique(
        np.asarray([b[1:] for i, b in enumerate(blocks) if i not in lonely]).reshape(-1, 2),
        axis=0,
        return_counts=True,
    )
    # The compiler's own, in exact fractions.
    weighed = best(dual_feasible(shapes, (16, 12)), Demand(times)) if len(shapes) else 0
    assert known_bounds(under("serial")) == {
        **area,
        "nothing can share": len(lonely),
        "dual feasible": len(lonely) + weighed,
    }
    assert known_bounds(under("exclusive")) == {**area, "blocks": len(blocks)}
