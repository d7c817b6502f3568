"""Results on disk: what is written is what is read."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from afmc.evaluation.figures import shown
from afmc.evaluation.results import (
    AnalogAccuracy,
    AnalogPerplexity,
    CalibrationCost,
    Classification,
    DigitalAccuracy,
    DigitalPerplexity,
    Estimate,
    OfMatrix,
    Outcome,
    Result,
    Speed,
    Speeds,
    Validation,
)
from afmc.evaluation.schema import validation_schema
from afmc.evaluation.statistics import estimate, estimate_share

COMMON: dict[str, Any] = {
    "model": "demo", "model_sha256": "0" * 64, "target": "hermes-64", "noise": True,
    "instances": 2, "seed": 3, "defects": "map.csv", "overrides": {"device.noise": None},
    "notes": ("a note",), "programming_s": 0.25, "wall_s": 4.0,
    "calibration": CalibrationCost(
        probes=16, reads=64, tile_time_ns=None, digital_macs=9, digital_operations_per_token=2
    ),
}  # fmt: skip
SPEEDS = Speeds(digital=Speed(mean=100.0, std=5.0), analog=Speed(mean=50.0))
WHEN: dict[str, Any] = {"at_s": 60.0, "temperature_C": 85.0, "compensation": "tile"}
LAST = ["programming_s", "wall_s", "noise", "verdict", "model", "model_sha256", "target"]
MIDDLE = ["instances", "seed", "defects", "overrides", "notes", "calibration"]
CONDITION = [
    "at_s",
    "temperature_C",
    "compensation",
    "calibration_probes",
    "recalibrated",
    "analog",
]


def validation() -> Validation:
    outcome = Outcome(
        **WHEN,
        analog=AnalogPerplexity(perplexity=estimate([4.0, 6.0])),
        kl_divergence=estimate([0.1, 0.2]),
        top1_agreement=estimate_share([0.5, 0.75]),
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
        simulation_tokens_per_s=SPEEDS,
    )


def classification() -> Classification:
    result = Result(
        **WHEN,
        analog=AnalogAccuracy(accuracy=estimate_share([0.5, 0.75])),
        top1_agreement=estimate_share([0.5, 1.0]),
    )
    return Classification(
        **COMMON,
        digital=DigitalAccuracy(accuracy=0.75),
        conditions=(result,),
        samples=8,
        data="digits.npz",
        data_sha256="2" * 64,
        simulation_samples_per_s=SPEEDS,
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
        "simulation_tokens_per_s", "without_noise", "rounded", *LAST,
    ]  # fmt: skip
    assert list(classification().to_json()) == [
        "schema_version", "digital", *CONDITION, "top1_agreement", "conditions", "samples",
        *MIDDLE, "data", "data_sha256", "simulation_samples_per_s", *LAST,
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
    three = estimate([4.0, 5.0, 6.0])
    assert three.mean == 5 and three.std == pytest.approx(1)
    width = math.exp(4.302653 / 3**0.5 / 5)  # Student's factor for three, on the logarithm
    assert three.interval_95 == pytest.approx((5 / width, 5 * width), rel=1e-6)
    share = estimate_share([0.4, 0.5, 0.6])
    half = 4.302653 * 0.1 / 3**0.5 / 0.25  # on the logit
    assert share.interval_95 == pytest.approx((1 / (1 + math.exp(half)), 1 / (1 + math.exp(-half))))
    two = estimate([4.0, 6.0])
    assert two.std == pytest.approx(2**0.5) and two.interval_95 is None
    one = estimate([4.0])
    assert one.std is None and one.interval_95 is None and one.ends == (4.0, 4.0)
    for same in (estimate([0.0] * 3), estimate_share([1.0] * 3)):
        assert same.interval_95 == (same.mean, same.mean)


@given(st.lists(st.floats(0, 1e300), min_size=3, max_size=9))
def test_an_interval_is_one_that_can_be(values: list[float]) -> None:
    found = estimate(values)
    low, high = found.interval_95 or (-1, -1)
    assert 0 <= low <= found.mean <= high < math.inf
    shares = estimate_share([value / 1e300 for value in values])
    low, high = shares.interval_95 or (-1, -1)
    assert 0 <= low <= shares.mean <= high <= 1


def test_an_interval_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="from -18 to 26 cannot be that of a mean of 4"):
        Estimate(mean=4.0, std=1.0, interval_95=(-18.0, 26.0), values=(3.0, 5.0))


@pytest.mark.parametrize(
    ("values", "share", "mean", "std", "spread"),
    [
        ([13.4252], False, "13.43", "", ""),
        ([13.38, 13.4704], False, "13.43", "", "13.38 and 13.47"),
        ([13.1, 13.4, 13.9], False, "13.47", "0.40", "12.50 to 14.51"),
        ([20.0, 5e4, 1.1e7], False, "3,700,000", "6,300,000", "51,000 to 264,400,000"),
        ([5.0, 5.0, 5.0], False, "5.000", "0.000", "5.000 to 5.000"),
        ([1e303, 2e303, 2e303], False, "1.7e+303", "5.8e+302", "7.0e+302 to 3.9e+303"),
        ([0.047, 0.0466, 0.0475], False, "0.0470", "0.00045", "0.0459 to 0.0482"),
        ([0.9999, 0.5, 0.7], True, "73 %", "25 %", "10 % to 99 %"),
        ([0.77], True, "77.00 %", "", ""),
        ([0.0, 0.0, 0.0], True, "0.000 %", "0.000 %", "0.000 % to 0.000 %"),
    ],
)
def test_digits_fit_the_spread(
    values: list[float], share: bool, mean: str, std: str, spread: str
) -> None:
    figure = shown((estimate_share if share else estimate)(values), share=share)
    assert (figure.mean, figure.std, figure.spread) == (mean, std, spread)


def test_results_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        validation().seed = 4
