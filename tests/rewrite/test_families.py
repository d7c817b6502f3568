"""Every family of language models: which rewrites apply, and that outputs do not show them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rewritten import EVERY, look_at

PAGE = Path(__file__).parents[2] / "docs" / "results" / "rewrites.md"


def rows() -> list[list[str]]:
    """Cells of every row of the table, without the measured one."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [line[2:-2].split(" | ") for line in lines]
    return [[*row[:-2], row[-1]] for row in cells]


@pytest.mark.parametrize("family", EVERY)
def test_rewrites_of_a_family(family: str) -> None:
    found = look_at(family)
    assert list(found.words) in rows()
    assert found.difference < 1e-5
