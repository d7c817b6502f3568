"""Tables of measurements: each says where it comes from, and its script puts it there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from tables import Table, line, replaced

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"
RESULTS = ROOT / "docs" / "results"
TABLE = re.compile(r"<!-- table: (\S+) -->\n(.*?)\n*<!-- end: \1 -->", re.DOTALL)
MADE = re.compile(r'Table\(\s*"([\w-]+)", "([\w-]+)"')
SOURCE = re.compile(
    r"\*Source:\* `(?P<command>[^`]+)`(?: \([^)]*\))?, (?P<day>\d{4}-\d\d-\d\d), "
    r"commit (?P<commit>[0-9a-f]{7,}\+?)[.,] (?P<basis>.+)"
)

WRITTEN = {
    (page, name): script
    for script in sorted(BENCHMARKS.glob("*.py"))
    for page, name in MADE.findall(script.read_text("utf-8"))
}
SHOWN = {
    (page.stem, name): body
    for page in RESULTS.glob("*.md")
    for name, body in TABLE.findall(page.read_text("utf-8"))
}


def test_a_script_writes_each_table_and_each_script_has_a_place() -> None:
    assert SHOWN.keys() == WRITTEN.keys()


@pytest.mark.parametrize("table", sorted(WRITTEN))
def test_a_table_says_where_it_comes_from(table: tuple[str, str]) -> None:
    body = SHOWN[table]
    rows = [row for row in body.splitlines() if row.startswith("|")]
    assert len(rows) > 2, "a table without rows"
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1, "rows of other lengths"
    found = SOURCE.search(body)
    assert found, f"no source under the table {table[1]} of {table[0]}.md"
    words = shlex.split(found["command"])
    script = next(word for word in words if word.endswith(".py"))
    assert WRITTEN[table] == ROOT / script
    assert re.search(r"measured|published|derived|assumed", found["basis"], re.IGNORECASE)


@pytest.mark.parametrize("script", sorted(set(WRITTEN.values())), ids=lambda path: path.name)
def test_a_script_can_write_its_table(script: Path) -> None:
    text = script.read_text("utf-8")
    assert "add_option(parser)" in text and re.search(r"\.finish\(\w*\.?write\)", text)


def test_the_table_of_a_page_is_replaced() -> None:
    text = "# A\n\n<!-- table: a -->\n| old |\n<!-- end: a -->\n\nmore\n"
    after = replaced(text, "a", ["| new |"])
    assert after == "# A\n\n<!-- table: a -->\n| new |\n<!-- end: a -->\n\nmore\n"
    with pytest.raises(ValueError, match="needs one '<!-- table: b -->'"):
        replaced(text, "b", [])


def test_a_row_has_a_cell_for_each_column() -> None:
    table = Table("page", "name", ("a", "b", "c"), "", words_after=1)
    assert table.head == ["| a | b | c |", "|---|---:|---|"]
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        table.add("1", "2")
    assert line(["1", "2"]) == "| 1 | 2 |"
