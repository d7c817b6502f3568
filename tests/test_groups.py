"""The table of slow tests names tests that there are, and what stands for them is not slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import groups
import pytest


class Item:
    """As much of a collected test as is looked at."""

    def __init__(self, name: str) -> None:
        self.nodeid = f"tests/test_a.py::{name}"
        self.markers: list[str] = []

    def add_marker(self, name: str) -> None:
        self.markers.append(name)

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.markers else None


@pytest.mark.parametrize(
    ("table", "refused"),
    [
        ('"test_one[2]" = "test_one[1]"', None),
        ('"test_one" = "test_two"', None),
        ('"test_three" = "test_two"', "names tests/test_a.py::test_three, which is no test"),
        ('"test_two" = "test_one[3]"', r"names tests/test_a.py::test_one\[3\], which is no test"),
        ('"test_one[2]" = "test_one"', "is slow too"),
        ('"test_two" = "tests/test_not_collected.py::test"', None),
    ],
)
def test_the_table(
    table: str, refused: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "TABLE", tmp_path / "slow.toml")
    groups.TABLE.write_text(f'["tests/test_a.py"]\n{table}\n')
    items: Any = [Item("test_one[1]"), Item("test_one[2]"), Item("test_two")]
    if refused:
        with pytest.raises(pytest.UsageError, match=refused):
            groups.mark_slow(items, complete=True)
        return
    groups.mark_slow(items, complete=True)
    assert [item for item in items if item.markers]
    assert not all(item.markers for item in items)
