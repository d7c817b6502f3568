"""Every family of language models: what is found in it, and that tiles compute what it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from families import FAMILIES, look_at

PAGE = Path(__file__).parents[2] / "docs" / "results" / "families.md"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_on_perfect_tiles_gives_its_own_outputs(family: str) -> None:
    found = look_at(family)
    assert f"| {' | '.join(found.row)} |" in PAGE.read_text("utf-8").splitlines()
    assert found.module_error < 1e-5 and found.graph_error < 1e-5
    assert int(found.row[2]) >= 5
