"""Costs as data: every row and every document is what its schema says."""

from __future__ import annotations

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import estimates
import kept
import pytest
from jsonschema import Draft202012Validator

from afmc.cli import cost_tables
from afmc.cli.workloads import estimates as estimates_of
from afmc.costs import BaselineCosts, Costs, Workload, estimate, estimate_baseline
from afmc.errors import OptionError
from afmc.export import costs_table, costs_table_schema, export
from afmc.export.tables.costs import COLUMNS
from afmc.targets import Baseline
from afmc.targets.loader import load_description

NAMES = [column.name for column in COLUMNS]
TYPES = {
    name: each.get("type") for name, each in
    costs_table_schema()["$defs"]["part"]["properties"].items()
}  # fmt: skip


def every() -> list[Costs | BaselineCosts]:
    """Two workloads, one of them of a prompt, each beside digital hardware."""
    program, target = kept.program("serial"), kept.target("serial")
    h100 = load_description("h100")
    assert isinstance(h100, Baseline)
    works = (Workload(), Workload("prefill", 100, 4))
    return [
        one for work in works
        for one in (estimate(program, target, work), estimate_baseline(program, h100, work))
    ]  # fmt: skip


def expected(costs: list[Costs | BaselineCosts]) -> list[dict[str, Any]]:
    return [
        {
            "target": each.target,
            "phase": each.workload.phase,
            "context": each.workload.context,
            "batch": each.workload.batch,
            "name": part.name,
            "group": part.group,
            "energy_nJ": part.energy_nJ,
            "latency_ns": part.latency_ns,
            "count": part.count,
            "unit": part.unit,
            "figure": None if part.figure is None else part.figure.key,
            "value": None if part.figure is None else part.figure.value,
            "basis": None if part.figure is None else part.figure.basis,
            "source": None if part.figure is None else part.figure.source,
        }
        for each in costs
        for part in each.parts
    ]


def test_a_row_for_each_part_of_each_workload(tmp_path: Path) -> None:
    costs = every()
    assert {each.target for each in costs} == {"afm-512-projected", "h100"}
    rows = expected(costs)
    assert any(row["energy_nJ"] is None for row in rows) and list(rows[0]) == NAMES
    for ending in ("json", "jsonl", "csv"):
        assert export(costs_table(costs), tmp_path / f"c.{ending}") == len(rows)
    assert json.loads((tmp_path / "c.json").read_text()) == rows
    lines = (tmp_path / "c.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    with (tmp_path / "c.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    numbers = [name for name in NAMES if TYPES[name] in ("integer", "number", ["number", "null"])]
    assert len(numbers) == 6
    for row, text in zip(rows, read, strict=True):
        for name in numbers:
            assert (None if text[name] == "" else float(text[name])) == row[name]
        assert {name: text[name] or None for name in NAMES if name not in numbers} == {
            name: row[name] for name in NAMES if name not in numbers
        }


def test_parquet(tmp_path: Path) -> None:
    costs, file = every(), tmp_path / "c.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(OptionError, match=r"'pip install pyarrow', or name a \.csv or"):
            export(costs_table(costs), file)
        assert list(tmp_path.iterdir()) == []
        return
    from pyarrow import parquet

    export(costs_table(costs), file)
    assert parquet.read_table(file).to_pylist() == expected(costs)


def test_texts_that_have_to_be_quoted(tmp_path: Path) -> None:
    costs = estimates.costs(["a"])
    odd = 'a "part", größer\nthan one line'
    costs = replace(costs, parts=tuple(replace(part, name=odd, unit="") for part in costs.parts))
    export(costs_table([costs]), tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        assert {row["name"] for row in csv.DictReader(file)} == {odd}
    export(costs_table([costs]), tmp_path / "c.json")
    assert {row["name"] for row in json.loads((tmp_path / "c.json").read_text())} == {odd}


def test_no_costs_are_a_table_without_rows(tmp_path: Path) -> None:
    assert export(costs_table([]), tmp_path / "c.csv") == 0
    assert (tmp_path / "c.csv").read_text() == ",".join(NAMES) + "\n"
    export(costs_table([]), tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == []


def test_the_schema_describes_what_is_written(tmp_path: Path) -> None:
    costs = every()
    export(costs_table(costs), tmp_path / "c.json")
    rows = json.loads((tmp_path / "c.json").read_text())
    for schema in (costs_table_schema(), cost_tables.json_schema()):
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        validator.validate(rows)
        assert not validator.is_valid([{**rows[0], "more": 1}])
        assert not validator.is_valid([{**rows[0], "basis": "guessed"}])
        assert not validator.is_valid([{**rows[0], "count": None}])
    for name in ("energy_nJ", "latency_ns"):
        part = costs_table_schema()["$defs"]["part"]["properties"][name]
        assert part["unit"] == name.split("_")[1] and part["type"] == ["number", "null"]


def test_the_schema_describes_what_is_printed(tmp_path: Path) -> None:
    program, target = kept.program("serial"), kept.target("serial")
    for phase in ("decode", "prefill"):
        results = estimates_of(program, target, "64,128", "1,2", phase, "h100,int8-dimc")
        printed = json.loads(json.dumps(cost_tables.to_json(results), allow_nan=False))
        validator = Draft202012Validator(cost_tables.json_schema())
        validator.validate(printed)
        del printed["costs"][0]["interval_ns"]
        assert not validator.is_valid(printed)
    cost_tables.write_trace(tmp_path / "t.json", [results[0][0]])
    written = json.loads((tmp_path / "t.json").read_text())
    validator.validate(written)
    del written["traceEvents"][-1]["ts"]
    assert not validator.is_valid(written)
