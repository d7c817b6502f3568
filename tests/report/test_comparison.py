"""The page of several compiles: what it shows, and that nothing of a model becomes markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import estimates
import kept
import pytest
import written
from pages import EVIL, Tags

from afmc.common.numbers import nanojoules
from afmc.compare import Comparison, compare
from afmc.costs import Part, Workload
from afmc.program.folder import read_program
from afmc.report import comparison_page
from afmc.report.comparison import _energy, _glance


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept.write(tmp_path / "p", "parallel")
    kept.write(tmp_path / "s", "serial")
    written.write(tmp_path / "w")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cells(page: str, label: str) -> list[tuple[str, list[str]]]:
    """Cells of rows with that label: whether they are marked, and their values."""
    found = []
    for row in re.findall(r"<tr data-differs.*?</tr>", page):
        if f">{label}</th>" in row:
            mark, *values = re.findall(r"<td[^>]*>(.*?)</td>", row)
            found.append((re.sub("<.*?>", "", mark), values))
    return found


@pytest.mark.usefixtures("folders")
def test_what_differs_is_marked_in_words_and_sign() -> None:
    page = comparison_page(compare(["p", "s"]))
    assert cells(page, "tiles") == [("≠", ["4", "3"])]
    assert cells(page, "matrices on tiles") == [("", ["4", "4"])]
    assert cells(page, "tile.co_location") == [("≠", ["parallel", "serial"])]
    assert page.count('<tr data-differs="1">') == page.count('aria-label="differs">≠</span>')
    assert "All options of passes are equal." in page and "No validation was given" in page
    assert "<title>p, s compared: afmc</title>" in page


@pytest.mark.usefixtures("folders")
def test_perplexities_are_in_a_table() -> None:
    Path("v.json").write_text(json.dumps(estimates.validation(read_program(Path("p")))))
    page = comparison_page(compare(["p", "w"], validations=["v.json"]))
    [row] = cells(page, "letters.txt, 1,024 tokens in windows of 512: digital")
    assert row == ("", ["13.82", "-"])  # what was not measured is no difference
    assert "20.0 (95 %: 16.2 to 23.8, 3 instances)" in page
    assert (
        "No validation was given" not in page and "These are different models: kept, test" in page
    )


@pytest.mark.usefixtures("folders")
def test_tiles_bound_and_gap_at_a_glance() -> None:
    found = compare(["p", "s", "w"])
    first, second, third = _glance(found)
    assert (first.name, first.tiles, first.at_least, first.gap) == ("p", 4, 3, 0.25)
    assert first.width == pytest.approx(400 / third.tiles, abs=0.01) and third.width == 100.0
    assert first.at_least_width == pytest.approx(300 / third.tiles, abs=0.01)
    assert second.proof == "OPTIMAL" and third.at_least_width == 100.0
    assert first.energy_nJ == found.by_workload[0][1][0].energy_nJ


@pytest.mark.usefixtures("folders")
def test_energy_by_part() -> None:
    found = compare(["p", "s"])
    title, (one, other) = found.by_workload[0]
    extra = Part("only here", "links", 2.0, "bytes", None, 3 * other.energy_nJ)
    other = replace(other, parts=(*other.parts, extra))
    energy = _energy(found, title, (one, other))
    parts = dict(energy.parts)
    assert [bar.text for bar in parts["only here"]] == ["-", nanojoules(extra.energy_nJ)]
    assert [bar.width for bar in parts["only here"]] == [0.0, 100.0]
    assert [bar.text for bar in parts["static power"]] == ["not known"] * 2
    assert energy.parts[0][0] == "only here"  # the largest first
    for name in (part.name for part in one.parts if part.energy_nJ):
        bar = parts[name][0]
        assert bar.width == pytest.approx(100 * bar.energy_nJ / (extra.energy_nJ or 0), abs=0.01)
    assert energy.totals == (nanojoules(one.energy_nJ), nanojoules(other.energy_nJ))
    short, long = energy.stacks
    assert sum(piece.width for piece in long.pieces) == pytest.approx(100, abs=0.1)
    assert sum(piece.width for piece in short.pieces) == pytest.approx(25, abs=0.1)
    for left, right in zip(long.pieces, long.pieces[1:], strict=False):
        assert left.x + left.width == pytest.approx(right.x, abs=0.02) and left.group < right.group
    assert long.text.startswith(f"s: {nanojoules(other.energy_nJ)} a token: tiles ")


@pytest.mark.usefixtures("folders")
def test_every_workload_has_its_bars() -> None:
    workloads = [Workload("prefill", 64, 2), Workload("decode", 4096)]
    page = comparison_page(compare(["p", "s"], workloads))
    for each in workloads:
        assert f"<h3>{each}</h3>" in page
    assert page.count('<figure class="stack">') == 2
    without = comparison_page(compare(["p", "s"], []))
    assert "<h3>" not in without and "not known" in without


@pytest.mark.usefixtures("folders")
def test_the_page_needs_nothing_else() -> None:
    found = compare(["p", "s"])
    page = comparison_page(found)
    assert "://" not in page and "default-src 'none'" in page
    assert not re.search(r"<(script|img|iframe|link)[^>]*\bsrc=|@import|url\(", page)
    assert page == comparison_page(found)


def attacked(folders: Path) -> Comparison:
    """Every text that comes from a model, a target, a user or a file is an attack."""
    folder = folders / "<b id=evil>&amp;"
    kept.write(folder, "serial")
    for path in (("model", "name"), ("model", "architecture"), ("target", "title")):
        kept.edit(folder, *path, to=EVIL)
    kept.edit(folder, "passes", to=[{"name": EVIL, "options": {EVIL: EVIL}}])
    lever = {"change": EVIL, "tiles": 1, "chips": 1, "needs": EVIL, "macs_lost": 0.0}
    kept.edit(folder, "summary", "levers", to=[lever])
    value = estimates.validation(read_program(folder)) | {"text": EVIL, "defects": EVIL}
    (folders / "v.json").write_text(json.dumps(value))
    found = compare(["p", folder], validations=[folders / "v.json"])
    title, costs = found.by_workload[0]
    evil = tuple(
        replace(
            each, missing=(EVIL,),
            parts=tuple(replace(part, name=part.name + EVIL) for part in each.parts),
        )
        for each in costs
    )  # fmt: skip
    return replace(found, by_workload=((title, evil), *found.by_workload[1:]))


def test_nothing_of_a_model_becomes_markup(folders: Path) -> None:
    page = comparison_page(attacked(folders))
    parser, clean = Tags(), Tags()
    parser.feed(page)
    clean.feed(comparison_page(compare(["p", "s"])))
    assert "evil" not in parser.ids and parser.scripts == clean.scripts == 2
    assert parser.open == [] and len(set(parser.ids)) == len(parser.ids)
    assert "<b id=evil" not in page and "alert(1)</script>" not in page
    assert page.count("{{7*7}}") > 8 and "&lt;b id=evil&gt;&amp;amp;" in page
