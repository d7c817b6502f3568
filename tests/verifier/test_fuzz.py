"""Random damage: caught wherever painting cell after cell finds something wrong, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept import read_tables, write, write_tables
from painted import faults
from profiles import examples

from afmc.fit import Rule
from afmc.verifier import verify

FIELDS = {
    "blocks": ("group", "copy", "replica", "row", "col", "rows", "cols"),
    "allocations": ("block", "tile", "row", "col"),
    "placements": ("block", "chip", "tile", "tier", "row", "col"),
}
OUTSIDE = 2**31 - 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Rule, Path]:
    root = tmp_path_factory.mktemp("fuzz")
    return {rule: write(root / rule, rule) for rule in get_args(Rule)}


@st.composite
def damage(draw: st.DrawFn) -> tuple[list[tuple[str, int, str]], int]:
    """Fields of lines of tables, and what is added to each."""
    if draw(st.booleans()):
        table = draw(st.sampled_from(sorted(FIELDS)))
        places = [(table, draw(st.integers(0, 8)), draw(st.sampled_from(FIELDS[table])))]
    else:  # the same story in both tables, so that only the layout can be wrong
        line, field = draw(st.integers(0, 8)), draw(st.sampled_from(("row", "col")))
        places = [("allocations", line, field), ("placements", line, field)]
    return places, draw(st.one_of(st.integers(-9, 9), st.sampled_from([OUTSIDE, -OUTSIDE])))


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(get_args(Rule)), damage())
def test_a_changed_field_is_harmless_or_caught(
    folders: dict[Rule, Path], rule: Rule, change: tuple[list[tuple[str, int, str]], int]
) -> None:
    folder, (places, added) = folders[rule], change
    whole = read_tables(folder)
    tables = {name: table.copy() for name, table in whole.items()}
    for table, line, field in places:
        value = int(tables[table][field][line]) + added
        tables[table][field][line] = np.clip(value, -OUTSIDE, OUTSIDE)
    wild = max(abs(int(tables["blocks"][key].max())) for key in ("rows", "cols")) > 1000
    try:
        write_tables(folder, tables)
        report = verify(folder)
    finally:
        write_tables(folder, whole)
    failed = {check.name for check in report.failed}
    if wild:  # too many cells to paint, and certainly wrong
        assert failed
    else:
        assert failed == faults(json.loads((folder / "program.json").read_text()), tables)
