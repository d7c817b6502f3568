"""What `afmc.testing.check_target` finds in figures that do not go together."""

from __future__ import annotations

import pytest

from afmc import load_target
from afmc.targets import load_description
from afmc.testing import check_target
from afmc.testing.check_target import Finding

SMALL = {"crossbar.rows": 40, "crossbar.columns": 30}

CASES: list[tuple[dict[str, object], Finding]] = [
    (
        {"output.columns_per_converter": 300},
        Finding("wrong", "output.columns_per_converter is 300, but a crossbar has 30 columns"),
    ),
    (
        {"tile.read_energy_nJ": 0.0055, "chip.power_W": None},
        Finding(
            "suspicious",
            "a tile reaches 436 TOPS/W at its peak (tile.read_energy_nJ), more than any that was "
            "made: 150 TOPS/W",
        ),
    ),
    (
        {"tile.read_latency_ns": 160.0, "output.conversion_ns": 80.0},
        Finding(
            "suspicious",
            "integration and conversions one after the other take 208 ns, but a read "
            "(tile.read_latency_ns) takes 160: do they overlap?",
        ),
    ),
    (
        {"output.integration_ns": 1.0},
        Finding(
            "suspicious",
            "the longest pulse of an input lasts 127 ns, but a column is integrated for 1 "
            "(output.integration_ns)",
        ),
    ),
    (
        {"input.encoding": "level"},
        Finding("suspicious", "input.step_ns has no effect: input.encoding is 'level'"),
    ),
    (
        {"input.slice_bits": 2},
        Finding("suspicious", "input.slice_bits has no effect: input.encoding is 'pulse_width'"),
    ),
    (
        {"crossbar.read_voltage_V": 0.2, "output.integration_ns": None},
        Finding(
            "suspicious",
            "crossbar.read_voltage_V has no effect: output.integration_ns is not given",
        ),
    ),
    (
        {"crossbar.selector": "transistor"},
        Finding(
            "suspicious",
            "crossbar.selector has no effect: all rows are driven and idle cells do not conduct",
        ),
    ),
    (
        {"output.bits": None},
        Finding("suspicious", "output.bound has no effect: output.bits is not given"),
    ),
]


@pytest.mark.parametrize(("figures", "finding"), CASES)
def test_it_fires(figures: dict[str, object], finding: Finding) -> None:
    assert finding in check_target(load_target("hermes-64", SMALL | figures))


def test_it_does_not_fire() -> None:
    findings = check_target(load_target("hermes-64", SMALL))
    assert not {finding.text for _, finding in CASES} & {each.text for each in findings}
    assert all(each.kind != "wrong" for each in findings)


def test_a_baseline_is_checked_too() -> None:
    findings = check_target(load_description("h100"))
    assert findings[0].text.startswith("digital:")
