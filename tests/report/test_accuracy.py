"""Validations: which are taken, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import estimates
import pytest

from afmc.errors import OptionError
from afmc.evaluation.reading import read_validation, validation_of
from afmc.program.compiled import CompiledProgram
from afmc.report import accuracy
from afmc.report.accuracy import view_of


def test_one_condition(by_hand: CompiledProgram) -> None:
    view = view_of(validation_of(by_hand, estimates.validation(by_hand)))
    assert view.headline == "20.0" and view.digital == "13.82"
    assert view.interval == "95 %: 16.2 to 23.8" and view.lines == ()
    [point] = view.strip.points
    assert view.strip.digital < point.low < point.values[0] < point.y < point.high
    assert view.rows[0][0] == ("0s", 0.0) and view.rows[0][-1] == ("90.0 %", 0.9)


def test_several_times_and_temperatures(by_hand: CompiledProgram) -> None:
    view = view_of(validation_of(by_hand, estimates.validation(by_hand, 6)))
    over = {lines.over: lines for lines in view.lines}
    assert [name for _, name in over["time"].places] == ["0s", "30d", "900d"]
    assert [s.label for s in over["time"].series] == [
        "25 °C, compensation tile",
        "85 °C, compensation tile",
    ]
    assert [name for _, name in over["temperature"].places] == ["25 °C", "85 °C"]
    assert len(over["temperature"].series) == 3 and over["time"].log and view.strip.log


def test_many_conditions_are_bounded(by_hand: CompiledProgram) -> None:
    many = estimates.validation(by_hand, 6)
    many["conditions"] = [
        {**each, "calibration_probes": probes}
        for probes in range(20)
        for each in many["conditions"]
    ]
    view = view_of(validation_of(by_hand, many))
    assert len(view.rows) == 120 and len(view.strip.points) == accuracy.ROWS
    assert view.strip.left_out == 60
    assert len(view.lines[0].series) == accuracy.SERIES and view.lines[0].left_out == 32


def test_one_instance_has_no_interval(by_hand: CompiledProgram) -> None:
    one = estimates.validation(by_hand)
    for name in ("perplexity",):
        one["conditions"][0]["analog"][name] |= {"std": None, "interval_95": None, "values": [20.0]}
    view = view_of(validation_of(by_hand, one))
    assert view.interval == "one instance" and view.rows[0][5] == ("", "")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "other"}, "is of other, not of kept as compiled here."),
        ({"model_sha256": "1" * 64}, "is of kept with other weights, not of kept as compiled"),
        ({"target": "hermes-64"}, "is on hermes-64, but this compile is for afm-512-projected."),
        ({"conditions": []}, "has no conditions."),
        ({"conditions": [{"at_s": "soon"}]}, "conditions.0.at_s: input should be a valid number"),
        ({"digital": {"perplexity": None}}, "digital.perplexity: input should be a valid number"),
    ],
)
def test_what_does_not_belong_here_is_one_sentence(
    by_hand: CompiledProgram, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    file = tmp_path / "v.json"
    file.write_text(json.dumps(estimates.validation(by_hand) | change))
    with pytest.raises(OptionError) as error:
        read_validation(file, by_hand)
    assert str(error.value).startswith(f"the validation {file}") and sentence in str(error.value)


def test_older_files_without_a_hash_are_taken_by_name(
    by_hand: CompiledProgram, tmp_path: Path
) -> None:
    file = tmp_path / "v.json"
    given = estimates.validation(by_hand)
    del given["model_sha256"]
    file.write_text(json.dumps(given))
    found = read_validation(file, by_hand)
    assert found.model_sha256 is None and found.model == given["model"]
