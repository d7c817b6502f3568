"""Results on disk: what is written is what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from afmc.evaluation.results import (
    AnalogAccuracy,
    AnalogPerplexity,
    CalibrationCost,
    Classification,
    DigitalAccuracy,
    DigitalPerplexity,
    OfMatrix,
    Outcome,
    Result,
    Speeds,
    Validation,
)
from afmc.evaluation.schema import validation_schema
from afmc.evaluation.statistics import estimate

COMMON: dict[str, Any] = {
    "model": "demo", "model_sha256": "0" * 64, "target": "hermes-64", "noise": True,
    "instances": 2, "seed": 3, "defects": "map.csv", "overrides": {"device.noise": None},
    "notes": ("a note",), "programming_s": 0.25, "wall_s": 4.0,
    "calibration": CalibrationCost(
        probes=16, reads=64, tile_time_ns=None, digital_macs=9, digital_operations_per_token=2
    ),
}  # fmt: skip
WHEN: dict[str, Any] = {"at_s": 60.0, "temperature_C": 85.0, "compensation": "tile"}
LAST = ["programming_s", "wall_s", "noise", "model", "model_sha256", "target"]
MIDDLE = ["instances", "seed", "defects", "overrides", "notes", "calibration"]
CONDITION = ["at_s", "temperature_C", "compensation", "calibration_probes", "analog"]


def validation() -> Validation:
    outcome = Outcome(
        **WHEN,
        analog=AnalogPerplexity(perplexity=estimate([4.0, 6.0])),
        kl_divergence=estimate([0.1, 0.2]),
        top1_agreement=estimate([0.5, 0.75]),
    )
    return Validation(
        **COMMON,
        digital=DigitalPerplexity(perplexity=3.5),
        conditions=(outcome,),
        tokens=64,
        scored_tokens=62,
        window=32,
        matrices=(OfMatrix(name="q", relative_error=estimate([0.02])),),
        text="text.txt",
        text_sha256="1" * 64,
        tokens_per_s=Speeds.of(100.0, 50.0),
    )


def classification() -> Classification:
    result = Result(
        **WHEN,
        analog=AnalogAccuracy(accuracy=estimate([0.5, 0.75])),
        top1_agreement=estimate([0.5, 1.0]),
    )
    return Classification(
        **COMMON,
        digital=DigitalAccuracy(accuracy=0.75),
        conditions=(result,),
        samples=8,
        data="digits.npz",
        data_sha256="2" * 64,
        samples_per_s=Speeds.of(10.0, 5.0),
    )


@pytest.mark.parametrize("made", [validation(), classification()], ids=lambda m: type(m).__name__)
def test_what_is_written_is_what_is_read(made: Validation | Classification) -> None:
    written = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert type(made).model_validate(written) == made
    first = written["conditions"][0]
    assert {key: written[key] for key in first} == first


def test_every_field_is_written_in_the_order_that_readers_know() -> None:
    assert list(validation().to_json()) == [
        "schema_version", "digital", *CONDITION, "kl_divergence", "top1_agreement", "conditions",
        "tokens", "scored_tokens", "window", *MIDDLE, "matrices", "text", "text_sha256",
        "tokens_per_s", *LAST,
    ]  # fmt: skip
    assert list(classification().to_json()) == [
        "schema_version", "digital", *CONDITION, "top1_agreement", "conditions", "samples",
        *MIDDLE, "data", "data_sha256", "samples_per_s", *LAST,
    ]  # fmt: skip


@pytest.mark.parametrize("made", [validation(), classification()], ids=lambda m: type(m).__name__)
def test_the_schema_is_of_what_is_written(made: Validation | Classification) -> None:
    schema = validation_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    written = json.loads(json.dumps(made.to_json()))
    validator.validate(written)
    assert not validator.is_valid({**written, "more": 1})
    assert not validator.is_valid({**written, "compensation": "magic"})
    for key in written:
        assert not validator.is_valid({k: v for k, v in written.items() if k != key}), key


def test_statistics_are_over_instances() -> None:
    two = estimate([4.0, 6.0])
    assert two.mean == 5 and two.std == pytest.approx(2**0.5)
    assert two.interval_95 == pytest.approx((5 - 12.7062, 5 + 12.7062), abs=1e-3)
    one = estimate([4.0])
    assert one.std is None and one.interval_95 is None and one.ends == (4.0, 4.0)


def test_results_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        validation().seed = 4
