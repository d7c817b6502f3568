"""What a validation says in a sentence: measured causes, and what to try."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from printing import shown as screen

import afmc
from afmc import CompiledModel
from afmc.cli.validation_tables import render
from afmc.data.text import Text
from afmc.evaluation import verdict
from afmc.evaluation.results import Validation
from afmc.evaluation.schema import validation_schema
from afmc.report.accuracy import view_of

TEXT = Text("text", "It was a truth that he had not been in the house before that day. " * 20)
LITTLE: dict[str, Any] = {"tokens": 64, "window": 64, "instances": 1}


@cache
def demo() -> CompiledModel:
    return afmc.compile("demo", "hermes-64", level=0)


def test_time_is_what_it_comes_from() -> None:
    found = demo().validate(TEXT, **LITTLE, at=["0s", "10y"], compensation=["none"])
    said = found.verdict
    assert said is not None and said.collapsed
    assert said.sentence.startswith(
        "Accuracy collapses in the worst case (10y, 25 °C, compensation"
    )
    assert said.sentence.endswith("So it does under 1 of 2 conditions.")
    assert "Likely cause: time since programming and temperature." in said.cause
    assert said.tries[0] == "a correction of drift: --compensation tile, column or reference"
    effects = [step.effect for step in said.steps]
    assert effects == [
        "what converters clip",
        "the resolution of the converters",
        "the programming noise of the devices",
        "stuck devices",
        "read noise and the errors of converters",
        "the resistance of the wires (IR drop)",
        "time since programming and temperature",
    ]
    written = json.loads(json.dumps(found.to_json()))
    Draft202012Validator(validation_schema()).validate(written)
    assert Validation.model_validate(written) == found
    view = view_of(found)
    assert view.verdict == said.lines and [step[0] for step in view.steps] == effects
    shown = screen(render(found, demo().target), 300)
    assert "Accuracy collapses" in shown and "Try a correction of drift" in shown


def test_converters_are_what_it_comes_from() -> None:
    coarse = demo().validate(TEXT, **LITTLE, settings={"input.bits": 2, "output.bits": 3})
    assert coarse.verdict is not None and coarse.verdict.collapsed
    assert "Likely cause: the resolution of the converters." in coarse.verdict.cause
    assert any("--set target.input.bits=10" in each for each in coarse.verdict.tries)
    clipped = demo().validate(TEXT, **LITTLE, settings={"output.bound": 0.05})
    assert clipped.verdict is not None and "what converters clip" in clipped.verdict.cause


def test_without_memory_for_more_tiles_nothing_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.lower.on_tiles.available_bytes", lambda: 1)
    found = demo().validate(TEXT, **LITTLE, settings={"input.bits": 2})
    assert found.verdict is not None and found.verdict.collapsed and not found.verdict.steps
    assert "there is not enough memory" in found.verdict.cause and found.without_noise is None


def test_what_is_kept_and_the_fair_reference() -> None:
    """The demo learned its input ranges with converters in place."""
    found = demo().validate(TEXT, **LITTLE)
    alone = demo().without_noise().validate(TEXT, **LITTLE)
    assert found.without_noise is not None and alone.without_noise is None
    assert found.without_noise.perplexity == pytest.approx(alone.perplexity.mean, rel=1e-9)
    said = found.verdict
    assert said is not None and not said.collapsed and not said.steps and not said.cause
    assert said.sentence.startswith("Keeps ") and " of the digital model's choices" in said.sentence
    shown = screen(render(found, demo().target), 300)
    assert "no noise" in shown and said.sentence[:20] in shown
    assert ", with the converters alone " in view_of(found).digital
    several = demo().validate(TEXT, **LITTLE, at=["0s", "1s"])
    assert "no noise" in screen(render(several, demo().target), 300)


def test_thresholds_are_those_that_are_documented() -> None:
    assert (verdict.COLLAPSED, verdict.KEPT) == (2.0, 0.5)
