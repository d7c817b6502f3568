"""What is shown of costs."""

from __future__ import annotations

from dataclasses import replace

import estimates
import pytest

from afmc.common.numbers import nanojoules, si
from afmc.costs import Workload
from afmc.report import costs
from afmc.report.costs import view_of
from afmc.report.scale import Axis, ticks

NAMES = ["model.layers.0.a.weight", "model.layers.0.b.weight", "model.layers.1.a.weight"]


def test_numbers_for_people() -> None:
    assert nanojoules(1.0) == "1 nJ" and nanojoules(1234567.0) == "1.23 mJ"
    assert si(999.9, "s") == "1 ks" and si(0, "s") == "0 s" and si(2.5e-15, "J") == "2.5 fJ"
    assert nanojoules(None) == "not known"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 10.0, [0, 2, 4, 6, 8, 10]), (13.0, 21.0, [14, 16, 18, 20]), (3.0, 3.0, [3])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 5) == pytest.approx(expected)


def test_an_axis_is_logarithmic_where_values_differ_tenfold() -> None:
    assert not Axis([10.0, 90.0]).log
    wide = Axis([10.0, 1e6])
    assert wide.log and wide.ticks() == [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]
    assert 0 < wide.at(10.0) < wide.at(1e3) < wide.at(1e6) < 1
    assert wide.at(-5.0) == 0.0
    assert Axis([10.0, 150.0]).ticks() == [10.0, 20.0, 50.0, 100.0]


def test_parts_by_energy_with_their_shares() -> None:
    view = view_of(estimates.costs(NAMES))
    assert view.title == "decode, context 512, batch 1"
    assert view.top[0] == ("tile reads", "5 µJ", "71.4 %")
    assert [bar.energy_width for bar in view.bars] == [100.0, 24.0, 14.0, 2.0, 0.0]
    assert (view.bars[-1].energy, view.bars[-1].latency_share) == ("not known", "")
    assert dict(view.facts)["silicon of the chips used"] == "not known"
    assert view.energy == {name: 1.0 + i for i, name in enumerate(NAMES)}
    assert view.missing == ("nothing is known of chip-to-chip links: left out",)


def test_the_timeline_has_a_lane_for_each_kind() -> None:
    timeline = view_of(estimates.costs(NAMES, steps=8)).timeline
    assert timeline is not None and timeline.lanes == ("tile", "digital", "link")
    assert len(timeline.marks) == 8 and timeline.note == ""
    assert sum(mark.width for mark in timeline.marks) == pytest.approx(1000, abs=0.1)
    assert timeline.longest[0][3] == "106 ns"


def test_a_long_timeline_is_bounded() -> None:
    timeline = view_of(estimates.costs(NAMES, steps=5000)).timeline
    assert timeline is not None and len(timeline.marks) <= costs.STEPS
    assert "The critical path has 5,000 steps" in timeline.note
    assert "and 8 more" in " ".join(mark.text for mark in timeline.marks)


def test_without_a_path_there_is_no_timeline() -> None:
    assert view_of(estimates.costs(NAMES, steps=0)).timeline is None


def test_times_of_parts_are_shares_of_a_token_of_a_prompt() -> None:
    costs = replace(estimates.costs(NAMES), workload=Workload("prefill", 100), latency_ns=1e9)
    view = view_of(costs)
    assert [bar.latency_share for bar in view.bars] == ["60.0 %", "30.0 %", "10.0 %", "0.0 %", ""]
    assert dict(view.facts)["latency of the prompt"] == "1 s"
