"""A trace holds every step, as Perfetto reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models import tiny_model

import afmc
from afmc.cli import costing
from afmc.costs import estimate, trace
from afmc.errors import AfmcError


def test_every_step_is_an_event() -> None:
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True)
    costs = estimate(model.program, model.target)
    data = json.loads(json.dumps(trace(costs), allow_nan=False))
    assert data["displayTimeUnit"] == "ns"
    events = [each for each in data["traceEvents"] if each["ph"] == "X"]
    assert len(events) == len(costs.schedule.steps)
    critical = sum(each["args"]["critical_ns"] for each in events)
    assert critical == pytest.approx(costs.schedule.latency_ns)
    last = max(each["ts"] + each["dur"] for each in events)
    assert last * 1e3 == pytest.approx(costs.schedule.latency_ns)
    rows = {e["tid"]: e["args"]["name"] for e in data["traceEvents"] if e["name"] == "thread_name"}
    assert {rows[each["tid"]] for each in events} == {each["cat"] for each in events}


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
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True)
    with pytest.raises(AfmcError) as caught:
        costing.estimates(model.program, model.target, *options)
    assert str(caught.value) == sentence


def test_a_trace_is_of_one_workload(tmp_path: Path) -> None:
    model = afmc.compile(tiny_model("llama"), "hermes-64", shapes_only=True)
    costs = estimate(model.program, model.target)
    for file, several, sentence in (
        (tmp_path / "t.json", [costs, costs], "--trace is of one workload, but these are 2."),
        (tmp_path / "t.txt", [costs], f"--trace {tmp_path / 't.txt'}: the file must end in .json."),
        (
            tmp_path / "no" / "t.json",
            [costs],
            f"{tmp_path / 'no' / 't.json'} cannot be written: No such file or directory.",
        ),
    ):
        with pytest.raises(AfmcError) as caught:
            costing.write_trace(file, several)
        assert str(caught.value) == sentence
    costing.write_trace(tmp_path / "t.json", [costs])
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
