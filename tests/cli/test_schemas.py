"""JSON Schemas of what commands print, held against what they print of very different compiles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters
from typing import Any, Literal

import kept
import pytest
import written
from jsonschema import Draft202012Validator

from afmc.common.described import described, fields_of, plain
from afmc.common.json_schema import choice, number, of, record, whole
from afmc.fit import Lever
from afmc.hardware.defects import gather_defects
from afmc.inspect import (
    inspect_json,
    inspect_schema,
    layer_json,
    summarise,
    tile_json,
    why_json,
)
from afmc.program.folder import read_program, write_program
from afmc.program.program import Repair
from afmc.program.summary import Broken, Left, Popularity, Replicas, Summary


def with_defects(folder: Path) -> Path:
    from dataclasses import replace

    hardware = kept.target("exclusive")
    repair = Repair(("permute",), "", 3, 0.5, 0.1)
    broken = gather_defects("cells_off=0.1,seed=1", hardware)
    mapped = replace(kept.program("exclusive"), defects=broken, repair=repair, moved=2)
    levers = [Lever("--set allocate.rule=serial", 2, 1, "it can share", 0.5)]
    summary = summarise(mapped, hardware, levers)
    measured = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {"export": 0.5}}
    write_program(folder, mapped, hardware, summary, lambda: measured)
    return folder


@pytest.mark.parametrize("write", [kept.write, written.write, with_defects])
def test_what_inspect_prints(write: Any, tmp_path: Path) -> None:
    printed = json.loads(json.dumps(inspect_json(read_program(write(tmp_path / "out")))))
    schema = inspect_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(printed)
    assert not validator.is_valid({**printed, "more": 1})
    assert not validator.is_valid({**printed, "tiles_used": -1})
    assert not validator.is_valid({k: v for k, v in printed.items() if k != "gap"})
    if printed["defects"]:
        assert printed["defects"]["repair"] and printed["levers"] and printed["limits"]


@pytest.mark.parametrize("write", [kept.write, written.write, with_defects])
def test_what_a_closer_look_prints(write: Any, tmp_path: Path) -> None:
    made = read_program(write(tmp_path / "out"))
    schema = inspect_schema()
    looks = {
        "inspect": inspect_json(made),
        "layer": layer_json(made, "*"),
        "tile": tile_json(made, "0/0"),
        "why": why_json(made, "*"),
    }
    assert {row["side"] for row in looks["layer"]["matrices"]} == {"analog", "digital"}
    assert looks["tile"]["crossbars"][0]["blocks"]
    for name, found in looks.items():
        printed = json.loads(json.dumps(found, allow_nan=False))
        Draft202012Validator(schema).validate(printed)
        for other, definition in schema["$defs"].items():
            assert Draft202012Validator(definition).is_valid(printed) == (other == name)


def test_every_value_that_may_be_unknown_may_be_null() -> None:
    fields = (
        number("n", "A number.", "nJ", unknown=True),
        choice("c", "A word.", ("a", "b"), unknown=True),
        of("o", "An object.", (whole("w", "Whole."),), unknown=True),
    )
    validator = Draft202012Validator(record(fields))
    known: dict[str, Any] = {"n": -0.5, "c": "a", "o": {"w": 1}}
    validator.validate(known)
    validator.validate(dict.fromkeys(known))
    for wrong in ({"n": "1"}, {"c": "z"}, {"o": {"w": -1}}):
        assert not validator.is_valid({**known, **wrong})
    assert not validator.is_valid({"n": 1, "c": "a"})
    assert record(fields)["properties"]["n"]["unit"] == "nJ"


@dataclass(frozen=True)
class Inner:
    word: Literal["a", "b"] = described("One of two.")


@dataclass(frozen=True)
class Outer:
    energy: float | None = described("What it takes.", "nJ")
    inner: Inner | None = described("May be missing.")
    several: tuple[Inner, ...] = described("Any number.")
    counts: Mapping[str, int] = described("By name.")


def test_a_dataclass_describes_its_own_json() -> None:
    validator = Draft202012Validator(record(fields_of(Outer)))
    full = plain(Outer(1.5, Inner("a"), (Inner("b"),), {"x": 1}))
    assert full == {"energy": 1.5, "inner": {"word": "a"}, "several": [{"word": "b"}],
                    "counts": {"x": 1}}  # fmt: skip
    validator.validate(full)
    validator.validate(plain(Outer(None, None, (), {})))
    for wrong in ({"inner": {"word": "c"}}, {"several": None}, {"counts": {"x": -1}}):
        assert not validator.is_valid({**full, **wrong})
    [energy, *_] = fields_of(Outer)
    assert energy.to_json() == {
        "type": ["number", "null"], "description": "What it takes.", "unit": "nJ"
    }  # fmt: skip


def test_every_figure_of_a_summary_is_a_sentence() -> None:
    for kind in (Summary, Left, Replicas, Popularity, Broken):
        for each in fields_of(kind):
            assert each.meaning.endswith(".") and each.meaning[0] in "(" + ascii_letters
