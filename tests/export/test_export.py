"""The mapping as data: every row is a block, in every format, and nothing is left half written."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kept
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from profiles import examples
from strategies import SETTINGS, programs, targets

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.errors import AfmcError, OptionError
from afmc.export import ENDINGS, export, mapping, mapping_schema
from afmc.export.tables import table
from afmc.export.tables.mapping import COLUMNS
from afmc.program.program import Group, Program
from afmc.targets import Target

NAMES = [column.name for column in COLUMNS]
TEXTS = [ending for ending in ENDINGS if ending != ".parquet"]

FIRST = """\
matrix,copy,replica,matrix_row,matrix_col,rows,cols,chip,tile,tier,row,col
"{q,k}.weight",0,0,0,0,8,8,0,0,0,0,0
"{q,k}.weight",0,0,0,8,8,4,0,0,0,0,8
"{q,k}.weight",0,0,8,0,8,8,0,0,0,8,0
"{q,k}.weight",0,0,8,8,8,4,0,0,0,8,8
b.weight,0,0,0,0,10,6,0,0,1,0,0
experts,0,0,0,0,6,6,0,0,1,10,6
experts,0,1,0,0,6,6,1,0,0,0,0
experts,1,0,0,0,6,6,1,0,0,6,6
experts,2,0,0,0,6,6,1,0,1,0,0
"""


def read(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return list(json.loads(text))
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    rows = csv.DictReader(text.splitlines())
    return [{k: v if k == "matrix" else int(v) for k, v in row.items()} for row in rows]


def expected(program: Program) -> Iterator[dict[str, Any]]:
    """Block after block, in a loop."""
    for place in program.placements:
        block = program.blocks[place["block"]]
        values = (
            program.groups[block["group"]].name,
            *(block[key] for key in ("copy", "replica", "row", "col", "rows", "cols")),
            *(place[key] for key in ("chip", "tile", "tier", "row", "col")),
        )
        yield dict(zip(NAMES, (values[0], *map(int, values[1:])), strict=True))


def test_a_small_mapping_as_csv(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert export(mapping(kept.program("parallel")), file) == 9
    assert file.read_text() == FIRST
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@given(program=programs(), target=targets(), options=SETTINGS)
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_block_is_a_row(
    program: Program, target: Target, options: dict[str, Any], tmp_path: Path
) -> None:
    mapped = run_passes(program, target, configure(load_passes(), options))
    for ending in TEXTS:
        file = tmp_path / f"mapping{ending}"
        assert export(mapping(mapped), file) == len(mapped.blocks)
        assert read(file) == list(expected(mapped))


@pytest.mark.parametrize("ending", TEXTS)
def test_names_that_have_to_be_quoted_and_several_chunks(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(table, "AT_ONCE", 4)
    program = kept.program("exclusive")
    odd = Group(('"größe", a\\b',), 16, 12)
    program = replace(program, groups=(odd, *program.groups[1:]))
    export(mapping(program), tmp_path / f"a{ending}")
    assert read(tmp_path / f"a{ending}") == list(expected(program))


def test_the_schema_describes_json(tmp_path: Path) -> None:
    export(mapping(kept.program("serial")), tmp_path / "a.json")
    schema = mapping_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    rows = read(tmp_path / "a.json")
    validator.validate(rows)
    assert not validator.is_valid([{**rows[0], "tile": -1}])
    assert not validator.is_valid([{**rows[0], "more": 1}])
    assert list(schema["$defs"]["block"]["properties"]) == NAMES == list(rows[0])


def test_parquet(tmp_path: Path) -> None:
    program, file = kept.program("serial"), tmp_path / "a.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(OptionError, match=r"'pip install pyarrow', or name a \.csv or"):
            export(mapping(program), file)
        return
    from pyarrow import parquet

    export(mapping(program), file)
    assert parquet.read_table(file).to_pylist() == list(expected(program))


def test_nothing_is_left_of_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.csv").write_text(FIRST)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OptionError, match=r"a\.csv cannot be written: No space left on device\."):
        export(mapping(kept.program("serial")), tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == FIRST


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is a folder; name a file in it."),
        ("a.cvs", "ends in none of .csv, .json, .jsonl and .parquet, which say what is written. "
         "Did you mean '.csv'?"),
        ("a", "ends in none of .csv, .json, .jsonl and .parquet, which say what is written."),
        ("none/a.csv", "there is no folder"),
    ],
)  # fmt: skip
def test_files_that_are_refused(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(AfmcError) as caught:
        export(mapping(kept.program("serial")), tmp_path / name)
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Ten times as many blocks take no more than one piece of the text at a time."""
    import tracemalloc
    from dataclasses import replace

    program = kept.program("exclusive")
    peak = []
    for times in (5_000, 50_000):
        blocks = np.tile(program.blocks, times)
        places = np.tile(program.placements, times)
        places["block"] = np.arange(len(places))
        many = replace(program, blocks=blocks, placements=places)
        tracemalloc.start()
        export(mapping(many), tmp_path / "a.jsonl")
        peak.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peak[1] < 1.1 * peak[0]
