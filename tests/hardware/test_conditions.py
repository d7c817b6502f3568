"""Times, temperatures and corrections as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afmc.errors import OptionError
from afmc.hardware.conditions import (
    Condition,
    conditions_of,
    format_time,
    parse_temperature,
    parse_time,
)
from afmc.targets import load_target

TIMES = {"0s": 0, "1s": 1, "2.5min": 150, "1h": 3600, "1d": 86400, "1mo": 2592000, "1y": 31536000}


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize(("text", "celsius"), {"85C": 85.0, " 0 C": 0.0, "358.15K": 85.0}.items())
def test_temperatures(text: str, celsius: float) -> None:
    assert parse_temperature(text) == pytest.approx(celsius)


def test_every_combination_once_and_the_targets_compensation_without_one() -> None:
    hermes = load_target("hermes-64", {"device.compensation": "column"})
    assert conditions_of(hermes) == (Condition(compensation="column"),)
    found = conditions_of(hermes, ["1s", "1d", "1s"], [25, "85C"], ["none", "tile"], 8)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert found[0] == Condition(1.0, 25.0, "none", 0)
    assert found[1] == Condition(1.0, 25.0, "none", 8)
    assert str(found[-1]) == "1d, 85C, comp. tile, 8 probes"


BAD: list[tuple[Callable[[], object], str]] = [
    (
        lambda: parse_time("1 week"),
        "time '1 week' is not a number with one of the units s, min, h, d, mo, y, for instance "
        "1s, 1h, 1d, 30d or 1y.",
    ),
    (
        lambda: parse_time("1.2.3d"),
        "time '1.2.3d' is not a number with one of the units s, min, h, d, mo, y, for instance "
        "1s, 1h, 1d, 30d or 1y.",
    ),
    (
        lambda: parse_time(""),
        "time '' is not a number with one of the units s, min, h, d, mo, y, for instance "
        "1s, 1h, 1d, 30d or 1y.",
    ),
    (
        lambda: parse_time("-1d"),
        "time -1d is not between 0 and 1e+10 seconds (about 300 years) after programming.",
    ),
    (
        lambda: parse_time("1e999s"),
        "time 1e999s is not between 0 and 1e+10 seconds (about 300 years) after programming.",
    ),
    (
        lambda: parse_temperature("85"),
        "temperature '85' is not a number with C or K, for instance 85C.",
    ),
    (
        lambda: parse_temperature("-300C"),
        "temperature -300 is not between -55 and 150 degrees Celsius, for which device models and "
        "wires are meant.",
    ),
    (
        lambda: conditions_of(load_target("ideal-512"), compensation=["rows"]),
        "compensation 'rows' is not one of none, tile, column, reference.",
    ),
    (
        lambda: conditions_of(load_target("ideal-512"), probes=1),
        "--calibrate must be 0 or at least 2 probe inputs, but is 1.",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), BAD)
def test_wrong_ones_get_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        call()
    assert str(caught.value) == sentence
