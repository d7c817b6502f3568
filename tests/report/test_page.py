"""The page as a whole: nothing from elsewhere, nothing unescaped, never too large."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import estimates
import pytest
from distributed import with_distributions
from pages import EVIL, Tags, data_of

from afmc.costs import Figure
from afmc.errors import OptionError
from afmc.evaluation.reading import validation_of
from afmc.fit import Lever
from afmc.program.compiled import CompiledProgram
from afmc.program.model import Remainder
from afmc.program.program import Applied
from afmc.report import check_page, render, write_page
from afmc.report.distributions import view_of
from afmc.report.names import Kinds


def evil(artifact: CompiledProgram) -> CompiledProgram:
    """Every text that comes from a model or a user is an attack."""
    program = artifact.program
    matrices = tuple(replace(m, name=m.name + EVIL, module=EVIL) for m in program.matrices)
    groups = tuple(
        replace(group, members=tuple(name + EVIL for name in group.members))
        for group in program.groups
    )
    program = replace(
        program,
        model=replace(program.model, name=EVIL, architecture=EVIL),
        matrices=matrices,
        groups=groups,
        digital={name + EVIL: why + EVIL for name, why in (program.digital or {}).items()},
        remainder=(Remainder("aten." + EVIL, 1, EVIL),),
        applied=(Applied(EVIL, {EVIL: EVIL}),),
        routing=None,
    )
    target = artifact.target.model_copy(update={"title": EVIL})
    return CompiledProgram(
        program, target, (Lever(EVIL, 1, 1, EVIL),), {**artifact.measured, EVIL: EVIL}
    )


def test_nothing_of_a_model_becomes_markup(by_hand: CompiledProgram) -> None:
    attacked = evil(by_hand)
    costs = estimates.costs([m.name for m in attacked.program.matrices])
    figure = Figure(EVIL, 1.0, "assumed", EVIL)
    costs = replace(
        costs,
        parts=tuple(replace(part, name=EVIL, unit=EVIL, figure=figure) for part in costs.parts),
        missing=(EVIL,),
    )
    validation = estimates.validation(attacked) | {"notes": [EVIL], "text": EVIL, "defects": EVIL}
    page = render(attacked, [costs], [validation_of(attacked, validation)])
    parser = Tags()
    parser.feed(page)
    clean = Tags()
    clean.feed(render(by_hand))
    assert "evil" not in parser.ids and parser.scripts == clean.scripts
    assert parser.open == [] and len(set(parser.ids)) == len(parser.ids)
    assert "<b id=evil" not in page and "alert(1)</script>" not in page and "{{7*7}}" in page
    groups = data_of(page)["kinds"]
    assert any("</script>" in kind for kind in groups)  # the data itself is whole


def test_the_page_needs_nothing_else(smollm2_shapes: CompiledProgram) -> None:
    page = render(smollm2_shapes)
    # The name of SVG is no address that anything is fetched from.
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<(script|img|iframe|link)[^>]*\bsrc=|@import|url\(", page)
    assert "default-src 'none'" in page
    assert page == render(smollm2_shapes)


@pytest.mark.parametrize("name", ["smollm2_shapes", "large"])
def test_it_is_small(name: str, request: pytest.FixtureRequest) -> None:
    artifact: CompiledProgram = request.getfixturevalue(name)
    names = [m.name for m in artifact.program.matrices]
    page = render(artifact, [estimates.costs(names, steps=5000)])
    print(f"{name}: {len(page.encode()):,} bytes")  # shown by pytest -rP
    assert len(page.encode()) < 1_000_000


def test_what_is_not_known_is_said(smollm2_shapes: CompiledProgram) -> None:
    page = render(smollm2_shapes)
    assert "not estimated" in page and "not validated" in page
    assert "No costs were given" in page and "afmc validate DIR --json" in page
    names = [m.name for m in smollm2_shapes.program.matrices]
    page = render(
        smollm2_shapes,
        [estimates.costs(names)],
        [validation_of(smollm2_shapes, estimates.validation(smollm2_shapes, 4))],
    )
    assert "not estimated" not in page and "not validated" not in page
    assert "What costs most" in page and "95 %: 16.2 to 23.8" in page
    assert "nothing is known of chip-to-chip links: left out" in page
    assert '<option value="energy">' in page and '<option value="error">' in page
    assert 'id="scale"' not in page  # shapes have no weights


def test_full_scale_by_kind(smollm2_shapes: CompiledProgram) -> None:
    view = view_of(with_distributions(smollm2_shapes).program, Kinds())
    assert view is not None and len(view.weights) == len(view.inputs) == 7
    q = view.inputs[0]
    assert (q.kind, q.count) == ("model.layers.*.self_attn.q_proj.weight", 30)
    assert q.shares[0][1] == pytest.approx(100 * 1e-4 * 7 * 14.5)
    assert q.worst == "model.layers.29: 2.0 %"
    assert [text for text, _ in view.weights[0].shares] == ["11.1 %"] * 9
    assert view.weights[0].worst == ""
    assert view_of(smollm2_shapes.program, Kinds()) is None


def test_a_page_is_written_whole_and_over_nothing_else(tmp_path: Path) -> None:
    page = '<!doctype html>\n<meta name="generator" content="afmc"><title>one</title>'
    file = tmp_path / "new" / "page.html"
    assert write_page(file, page) == file and file.read_text() == page
    write_page(file, page.replace("one", "two"))
    assert "two" in file.read_text()
    assert [each.name for each in file.parent.iterdir()] == ["page.html"]
    (tmp_path / "thesis.txt").write_text("mine")
    for path, sentence in (
        (tmp_path / "thesis.txt", "is there and is not an HTML page of afmc; name another file,"),
        (tmp_path, "is a folder; name a file in it."),
        (tmp_path / "thesis.txt" / "page.html", "there is no folder"),
    ):
        with pytest.raises(OptionError, match=re.escape(sentence)):
            check_page(path)
        with pytest.raises(OptionError, match=re.escape(sentence)):
            write_page(path, page)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
