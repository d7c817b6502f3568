"""Tables keep their numbers and keys, however narrow the screen is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_once import Shared
from in_process import run
from printing import shown

import afmc
from afmc.cli import cost_tables, validation_tables
from afmc.cli.workloads import estimates
from afmc.common.tables import Listing
from afmc.evaluation.figures import exact
from afmc.evaluation.figures import shown as figure_of
from afmc.program.folder import read_program
from afmc.targets import load_target

WIDTHS = (160, 100, 80, 60, 40)
ROWS = [("a", "1,234.5678", "0.1234", "key.of_something_long = 1", "measured by whom")] * 2
NUMBERS = {"1,234.5678", "0.1234", "key.of_something_long = 1"}


def listing(**more: Any) -> Listing:
    headings = ("name", "first number", "second", "from", "text")
    return Listing("title", headings, ROWS, left=("text",), keys=("from",), **more)


@pytest.mark.parametrize("width", range(30, 120, 3))
@pytest.mark.parametrize("more", [{}, {"names": True}, {"names": True, "below": ("from", "text")}])
def test_nothing_is_cut(width: int, more: dict[str, Any]) -> None:
    text = shown(listing(**more), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for number in NUMBERS:
        assert " ".join(text.split()).count(number) == 2, text
    assert all(text.count(word) == 2 for word in ("measured", "by", "whom"))


def test_four_forms() -> None:
    more: dict[str, Any] = {"names": True, "below": ("from", "text")}
    assert "from" in shown(listing(**more), 100).splitlines()[2]
    assert shown(listing(**more), 60).splitlines()[2:6] == [
        " name  first number  second",
        " ──────────────────────────",
        " a       1,234.5678  0.1234",
        "   key.of_something_long = 1, measured by whom",
    ]
    assert shown(listing(**more), 25).splitlines()[5:8] == [
        " a",
        "     1,234.5678  0.1234",
        "   key.of_something_long",
    ]
    assert shown(listing(**more), 20).splitlines()[2:4] == [" a", "   first number:"]


@pytest.fixture(scope="module")
def compiled(shared: Shared) -> Path:
    def make(folder: Path) -> None:
        afmc.compile("demo", "hermes-64", level=0).save(folder / "demo")

    return shared("tables", make=make) / "demo"


@pytest.mark.parametrize("width", WIDTHS)
def test_costs_keep_the_keys_that_can_be_set(compiled: Path, width: int) -> None:
    kept = read_program(compiled)
    [(costs, others)] = estimates(kept.program, kept.target, "256", "1", "decode", "h100,int8-dimc")
    text = shown(cost_tables.render(costs, others), width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    for part in costs.parts:
        if part.figure is not None and (part.count or part.latency_ns):
            whole = f"{part.figure.key} = {part.figure.value:g}"
            assert whole in " ".join(text.split())


@pytest.fixture(scope="module")
def validated(compiled: Path) -> Any:
    model = afmc.load(compiled)
    several: dict[str, Any] = {"at": ["0s", "1d"], "compensation": ["none", "tile"]}
    return model.validate(tokens=64, window=32, instances=2, by_matrix=True, **several)


@pytest.mark.parametrize("width", WIDTHS)
def test_validations_keep_their_numbers(validated: Any, width: int) -> None:
    target = load_target("hermes-64")
    single = validated.model_copy(update={"outcomes": validated.outcomes[:1]})
    for result in (validated, single):
        text = shown(validation_tables.render(result, target), width)
        assert "…" not in text and max(map(len, text.splitlines())) <= width
        assert exact(result.digital_perplexity) in text
        for outcome in result.outcomes:
            perplexity = figure_of(outcome.perplexity)
            assert perplexity.mean in text and perplexity.spread in text
            assert figure_of(outcome.kl_divergence).mean in text


def commands() -> Iterator[tuple[str, ...]]:
    yield ("targets", "list")
    yield ("targets", "show", "hermes-64")
    yield ("targets", "devices")
    yield ("doctor",)
    yield ("inspect", "DIR")
    yield ("inspect", "DIR", "--layer", "model.layers.0")
    yield ("inspect", "DIR", "--tile", "0/0")
    yield ("inspect", "DIR", "--why", "lm_head")
    yield ("verify", "DIR")
    yield ("costs", "DIR")
    yield ("compare", "DIR", "DIR")


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", tuple(commands()), ids=" ".join)
def test_pipes_are_as_wide_as_columns_and_have_no_padding(
    compiled: Path, tmp_path: Path, command: tuple[str, ...], width: int
) -> None:
    arguments = [str(compiled) if each == "DIR" else each for each in command]
    ran = run(tmp_path, *arguments, COLUMNS=str(width))
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= width and "…" not in ran.stdout
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("columns", ["", "0", "wide", "9" * 40])
def test_pipes_without_columns(tmp_path: Path, columns: str) -> None:
    lines = run(tmp_path, "targets", "list", COLUMNS=columns).stdout.splitlines()
    assert 120 < max(map(len, lines)) <= 160
