"""A trace holds every step, as Perfetto reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models import tiny_model

import afmc
from afmc.cli import cost_tables
from afmc.cli.workloads import estimates as estimates_of
from afmc.costs import estimate, trace
from afmc.costs.schema import trace_schema
from afmc.errors import AfmcError


def test_every_step_is_an_event() -> None:
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True, level=0)
    costs = estimate(model.program, model.target)
    data = json.loads(json.dumps(trace(costs), allow_nan=False))
    assert data["displayTimeUnit"] == "ns"
    events = [each for each in data["traceEvents"] if each["ph"] == "X"]
    assert len(events) == len(costs.schedule.steps)
    critical = sum(each["args"]["critical_ns"] for each in events)
    assert critical == pytest.approx(costs.schedule.latency_ns)
    last = max(each["ts"] + each["dur"] for each in events)
    assert last * 1e3 == pytest.approx(costs.schedule.latency_ns, abs=0.5)
    rows = names_of(data)
    assert {rows[each["tid"]] for each in events} == {each["cat"] for each in events}
    Draft202012Validator(trace_schema()).validate(data)
    assert data["otherData"]["workload"] == {"phase": "decode", "context": 64, "batch": 1}


def names_of(data: dict[str, Any]) -> dict[int, str]:
    """Names of the rows, all of one process, neither of them 0."""
    found = {e["tid"]: e["args"]["name"] for e in data["traceEvents"] if e["name"] == "thread_name"}
    assert {each["pid"] for each in data["traceEvents"]} == {1} and 0 not in found
    return found


def test_steps_at_once_are_side_by_side() -> None:
    """Viewers draw complete events of one row that overlap as if one had called the other."""
    model = afmc.compile(
        tiny_model("llama"),
        "hermes-64",
        shapes_only=True,
        settings={"merge.enabled": False},
        level=0,
    )
    costs = estimate(model.program, model.target)
    odd = replace(  # times that are no whole nanoseconds
        costs.schedule,
        steps=tuple(
            replace(each, start_ns=each.start_ns * 0.7317, end_ns=each.end_ns * 0.7317)
            for each in costs.schedule.steps
        ),
    )
    for schedule in (costs.schedule, odd):
        data = trace(replace(costs, schedule=schedule))
        rows = names_of(data)
        assert list(rows.values())[:3] == ["tile", "tile 2", "tile 3"]
        assert list(rows) == list(range(1, len(rows) + 1))
        last = dict.fromkeys(rows, 0)
        for event in (each for each in data["traceEvents"] if each["ph"] == "X"):
            # As the viewer reads it: whole nanoseconds.
            start, ns = round(event["ts"] * 1e3), round(event["dur"] * 1e3)
            assert start >= last[event["tid"]] and ns >= 0
            assert rows[event["tid"]].split()[0] == event["cat"]
            assert event["args"]["start_ns"] == pytest.approx(start, abs=0.5)
            last[event["tid"]] = start + ns
        most = max(
            sum(one.start_ns <= each.start_ns < one.end_ns for one in schedule.steps
                if one.kind == "tile")
            for each in schedule.steps if each.kind == "tile"
        )  # fmt: skip
        assert sum(name.startswith("tile") for name in rows.values()) == most  # no more than needed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("x", "1", "decode", "none"), "--context must be whole numbers with commas between, but "
         "has 'x'."),
        (("1,", "1", "decode", "none"), "--context must be whole numbers with commas between, but "
         "has ''."),
        (("1", "1.5", "decode", "none"), "--batch must be whole numbers with commas between, but "
         "has '1.5'."),
        (("1", "1", "decode", "pcm-34"), "--against pcm-34: it is analog; compile the model for "
         "it, and compare the two."),
    ],
)  # fmt: skip
def test_wrong_options(options: tuple[str, str, str, str], sentence: str) -> None:
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True, level=0)
    with pytest.raises(AfmcError) as caught:
        estimates_of(model.program, model.target, *options)
    assert str(caught.value) == sentence


def test_a_trace_is_of_one_workload(tmp_path: Path) -> None:
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True, level=0)
    costs = estimate(model.program, model.target)
    for file, several, sentence in (
        (tmp_path / "t.json", [costs, costs], "--trace is of one workload, but these are 2."),
        (tmp_path / "t.txt", [costs], f"--trace {tmp_path / 't.txt'}: the file must end in .json."),
        (
            tmp_path / "no" / "t.json",
            [costs],
            f"--trace {tmp_path / 'no' / 't.json'}: there is no folder {tmp_path / 'no'}; make it "
            f"first.",
        ),
    ):
        with pytest.raises(AfmcError) as caught:
            cost_tables.write_trace(file, several)
        assert str(caught.value) == sentence
    cost_tables.write_trace(tmp_path / "t.json", [costs])
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
