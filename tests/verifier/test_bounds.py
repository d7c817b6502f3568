"""The bounds that are computed again, against every pair of blocks and against the compiler's."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import target, write
from programs import compiled
from strategies import SETTINGS, programs, targets

from afmc import artifact
from afmc.inspect import summarise
from afmc.ir import Program
from afmc.targets import Target
from afmc.verifier import verify
from afmc.verifier.claims import known_bounds
from afmc.verifier.disk import PROGRAM, read_json, read_program, read_tables
from afmc.verifier.mapped import Mapped


@settings(max_examples=40, deadline=None)
@given(programs(), targets(), SETTINGS)
def test_whatever_the_passes_make_passes(
    program: Program, hardware: Target, options: dict[str, object]
) -> None:
    mapped = compiled(program, hardware, options)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        artifact.write(out, mapped, hardware, summarise(mapped, hardware, []), dict)
        report = verify(out)
    assert report.problems == ()
    assert report["cover"].passed and report["co-location"].passed and report["bounds"].passed


SIZES = st.lists(st.tuples(st.integers(1, 16), st.integers(1, 12)), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder, hardware = write(tmp_path_factory.mktemp("kept") / "out"), target("parallel")
    program = read_program(read_json(folder / PROGRAM))
    tables, lines = read_tables(folder)
    return Mapped(folder, program, hardware, hardware, lines=lines, **tables)


@settings(max_examples=100, deadline=None)
@given(SIZES)
def test_bounds_of_blocks_that_share_no_line(kept: Mapped, sizes: list[tuple[int, int]]) -> None:
    rows, cols = np.asarray(sizes).T
    mapped = replace(kept, blocks={**kept.blocks, "rows": rows, "cols": cols})
    fits = [
        any(r + s <= 16 and c + d <= 12 for j, (s, d) in enumerate(sizes) if j != i)
        for i, (r, c) in enumerate(sizes)
    ]
    alone = fits.count(False)
    shared = [size for size, fit in zip(sizes, fits, strict=True) if fit]
    lines = max(-(-sum(r for r, _ in shared) // 16), -(-sum(c for _, c in shared) // 12))
    assert known_bounds(mapped) == {
        "area": -(-sum(r * c for r, c in sizes) // (16 * 12)),
        "nothing can share": alone,
        "rows and columns": alone + lines,
    }
    proof = replace(kept.program.proof, rule="exclusive")
    exclusive = replace(mapped, program=replace(kept.program, proof=proof))
    assert known_bounds(exclusive)["blocks"] == len(sizes)
