"""Whole folders: what is verified in them, what is not, and against which hardware."""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept import MATRICES, edit, target, write
from models import tiny_model
from safetensors.numpy import save_file
from sealed import seal

import afmc
from afmc.errors import ArtifactError, TargetError
from afmc.fit import Rule
from afmc.testing import verify

VERIFIER = Path(afmc.__file__).parent / "verifier"


@pytest.mark.parametrize(("architecture", "rule"), [("gpt2", "exclusive"), ("mixtral", "parallel")])
def test_compiled_models_pass(tmp_path: Path, architecture: str, rule: Rule) -> None:
    settings = {
        "target.crossbar.rows": 20,
        "target.crossbar.columns": 24,
        "target.tile.tiers": 3,
        "target.chip.tiles": 4,
        "target.system.chips": 12,
        "target.tile.co_location": rule,
        "split.style": "balanced",
    }
    model = afmc.compile(tiny_model(architecture), "ideal-512", settings=settings, level=0)
    report = verify(model.save(tmp_path / "out"))
    assert report.problems == ()
    skipped = [check.name for check in report.checks if check.outcome == "skipped"]
    assert skipped == ["routing", "replicas", "recovery"]
    assert report["chips"].counts["chips"] > 1
    assert report["model folder"].counts["weights"] == model.program.model.parameters
    assert report["files"].notes == ("not read: compile.json",)
    renamed = "under other names" in " ".join(report["model folder"].notes)
    assert renamed == (architecture == "mixtral")


# What nothing else on disk contradicts. Every other value of program.json is verified: one more, or
# a letter more, and a check fails. (Of the target, that it is possible hardware.)
NOT_VERIFIED = {
    "calibration",
    "training",
    "summary.training",
    "passes[].name",
    "passes[].options.rule",
    "summary.bound_is_over",
    "allocation.patterns",
    "digital.*",  # reasons
    "matrices[].input",
    "matrices[].input_range",
    "matrices[].bias",
    "matrices[].tied_to",
    "matrices[].module",
    "matrices[].layer",
    "matrices[].operation",
    "remainder[].operation",
    "remainder[].count",
    "remainder[].reason",
    "matrices[].chooses",
    "distributions",
    "model.unit",
    "model.positions",
    "moved",
    "rewriting",
    "summary.blocks_moved",
    "summary.defects",
    "summary.replication.gain",
    "summary.replication.replicas_waiting",
}


def leaves(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def changed(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.5 + 1
        case str():
            return f"{value}x"
    return 1.0


def test_every_value_is_verified_but_those_that_are_listed(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    whole = json.loads((folder / "program.json").read_text())
    harmless = set()
    for path, value in leaves(whole):
        if path[0] == "target":
            continue
        data = copy.deepcopy(whole)
        place = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = changed(value)
        (folder / "program.json").write_text(json.dumps(data))
        assert not verify(folder)["unchanged"].passed
        if verify(seal(folder)).passed:
            name = ".".join("[]" if isinstance(key, int) else key for key in path)
            name = name.replace(".[]", "[]")
            harmless.add("digital.*" if path[0] == "digital" else name)
    assert harmless == NOT_VERIFIED


def test_the_program_is_held_against_other_hardware(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    same = verify(folder, target("parallel"))
    assert same.passed and same.differs == ()

    smaller = afmc.load_target(target("parallel"), {"crossbar.rows": 15, "tile.tiers": 1})
    report = verify(folder, smaller)
    assert report.differs == (
        "crossbar.rows is 16 in program.json, 15 in afm-512-projected",
        "tile.tiers is 2 in program.json, 1 in afm-512-projected",
    )
    assert [check.name for check in report.failed] == ["crossbars", "chips"]

    bundled = verify(folder, "hermes-64")
    assert bundled.differs[0] == "the program is for afm-512-projected, not for hermes-64"
    assert [check.name for check in bundled.failed] == ["chips", "co-location"]
    assert bundled["co-location"].notes == (
        "by the rule exclusive of hermes-64, not by the program's rule parallel",
    )
    assert verify(folder, target("serial")).passed
    with pytest.raises(TargetError, match="unknown target 'hermes'"):
        verify(folder, "hermes")


def test_a_rule_that_an_option_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    edit(folder, "target", "tile", "co_location", to="exclusive")
    report = verify(folder)
    assert [check.name for check in report.failed] == ["co-location"]
    edit(folder, "passes", 0, "options", "rule", to="parallel")
    report = verify(folder)
    assert report.passed
    assert report["co-location"].notes == (
        "by the rule parallel, which an option asked for; afm-512-projected by itself allows "
        "exclusive",
    )
    other = verify(folder, target("exclusive"))  # of this hardware nobody asked for more
    assert [check.name for check in other.failed] == ["co-location"]


def test_what_is_not_a_compile(tmp_path: Path) -> None:
    def sentence(folder: Path) -> str:
        with pytest.raises(ArtifactError) as caught:
            verify(folder)
        return str(caught.value)

    nothing = tmp_path / "nothing"
    assert sentence(nothing) == (
        f"{nothing} is not a folder; make one with 'afmc compile MODEL -o DIR'."
    )
    assert sentence(tmp_path) == (
        f"{tmp_path} is not a finished afmc compile: it has no program.json to verify."
    )
    file = tmp_path / "program.json"
    for text, reason in (
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("\xff", "Expecting value: line 1 column 1 (char 0)"),
        ('{"schema_version": NaN}', "NaN is not a number"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
    ):
        file.write_text(text)
        assert sentence(tmp_path) == f"{file} cannot be read ({reason}): nothing to verify."
    for text in ("[]", "{}"):
        file.write_text(text)
        assert sentence(tmp_path) == f"{file} was not written by afmc: it has no schema_version."
    file.write_text("[" * 100_000)
    assert "cannot be read" in sentence(tmp_path)


def test_broken_files_are_reported_never_raised(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    random = np.random.default_rng(0)
    for name in ("program.json", "blocks.npz"):
        whole = (folder / name).read_bytes()
        for _ in range(100):
            content = bytearray(whole)
            for place in random.integers(0, len(content), random.integers(1, 4)):
                content[place] = random.integers(0, 256)
            if random.random() < 0.2:
                del content[random.integers(1, len(content)) :]
            (folder / name).write_bytes(content)
            try:
                verify(folder)
            except ArtifactError as error:
                assert name == "program.json" and "\n" not in str(error)
        (folder / name).write_bytes(whole)
    assert verify(folder).passed


def test_the_report_as_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    edit(folder, "allocation", "tiles", to=5)
    data = json.loads(json.dumps(verify(folder).to_json()))
    assert data["schema_version"] == 1 and data["passed"] is False
    assert (data["directory"], data["target"]) == (str(folder), "afm-512-projected")
    bounds = next(check for check in data["checks"] if check["name"] == "bounds")
    assert bounds == {
        "name": "bounds",
        "claim": "tiles are counted rightly, no bound is too high",
        "outcome": "failed",
        "counts": {"tiles": 4, "lower bound": 3, "by area": 3},
        "problems": ["allocation.tiles is 5, but the blocks are on 4 crossbars."],
        "notes": ["not proved independently, only held against the tiles used: set cover (2)"],
    }


def test_it_is_said_where_optimal_rests_on_a_solver_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    edit(folder, "allocation", "bounds", to={"area": 3, "set cover": 4})
    edit(folder, "allocation", "lower_bound", to=4)
    edit(folder, "allocation", "status", to="OPTIMAL")
    assert verify(folder)["bounds"].notes == (
        "not proved independently, only held against the tiles used: set cover (4)",
        "that 4 tiles are OPTIMAL rests on these alone; proved here is that it takes at least 3",
    )


def test_what_a_failed_check_makes_idle_is_skipped(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    edit(folder, "groups", 0, "rows", to=17)
    report = verify(folder)
    assert [check.name for check in report.failed] == ["groups"]
    skipped = {c.name: c.notes for c in report.checks if c.outcome == "skipped"}
    assert skipped.pop("model folder") and skipped.pop("recovery")
    assert skipped == {
        "owners": ("not looked at without 'groups'",),
        "cover": ("not looked at without 'owners'",),
        "row cuts": ("not looked at without 'cover'",),
        "co-location": ("not looked at without 'owners'",),
        "replicas": ("not looked at without 'cover'",),
        "placing": ("not looked at without 'owners'",),
    }


def test_the_verifier_imports_nothing_of_what_it_verifies() -> None:
    """import-linter forbids the modules of today; this those of tomorrow."""
    allowed = {"numpy", "pydantic", *sys.stdlib_module_names}
    for file in VERIFIER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level
                names = [str(node.module)]
            for name in names:
                own = re.match(r"afmc\.(errors|targets|verifier)(\.|$)", name)
                assert own or name.partition(".")[0] in allowed, (file.name, name)


# the weights in model/


def tensors() -> dict[str, np.ndarray]:
    """As a checkpoint has them: the tied matrix under its other name, the bank as one tensor."""
    shapes = {
        "q.weight": (8, 16),
        "k.weight": (4, 16),
        "e.weight": (6, 10),
        "experts": (3, 6, 6),
        "d.weight": (5, 5),
        "b.bias": (6,),
        "scale": (7,),
    }
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def with_weights(root: Path, *files: dict[str, np.ndarray]) -> Path:
    folder = write(root / "out")
    (folder / "model").mkdir()
    for index, each in enumerate(files):
        save_file(each, folder / "model" / f"{index}.safetensors")
    return seal(folder)


def without(*names: str) -> dict[str, np.ndarray]:
    return {name: tensor for name, tensor in tensors().items() if name not in names}


PIECES = {f"experts.{i}.weight": np.zeros((6, 6), np.float32) for i in range(3)}
OTHER_NAME = {"attention.q.weight": np.zeros((8, 16), np.float32)}

FINE: list[tuple[list[dict[str, np.ndarray]], tuple[str, ...]]] = [
    ([tensors()], ()),
    ([without("q.weight"), {"q.weight": tensors()["q.weight"]}], ()),
    (
        [{**without("q.weight"), **OTHER_NAME}],
        (
            "under other names in the model folder, so that only their shapes are held against "
            "it: 1 matrix, the first q.weight",
        ),
    ),
    (
        [{**without("experts"), **PIECES}],
        (
            "stored in pieces in the model folder, so that their shapes are not verified: 1 bank "
            "of experts, the first experts",
        ),
    ),
]


@pytest.mark.parametrize(("files", "notes"), FINE)
def test_weights_of_the_right_shapes(
    tmp_path: Path, files: list[dict[str, np.ndarray]], notes: tuple[str, ...]
) -> None:
    report = verify(with_weights(tmp_path, *files))
    assert report["model folder"].problems == () and report["model folder"].passed
    assert report["model folder"].notes == notes
    assert report["model folder"].counts["weights"] == sum(m.weights for m in MATRICES) + 13


WRONG: list[tuple[list[dict[str, np.ndarray]], str]] = [
    ([], "model has no .safetensors file."),
    (
        [{**tensors(), "q.weight": np.zeros((16, 8), np.float32)}],
        "q.weight is 16 x 8 in the model folder, but 8 x 16 in the mapping.",
    ),
    (
        [{**tensors(), "e.weight": np.zeros((6, 11), np.float32)}],
        "b.weight is 6 x 11 in the model folder, but 6 x 10 in the mapping.",
    ),
    (
        [{**without("q.weight"), "more": np.zeros(128, np.float32)}],
        "the model folder has no tensor q.weight, and no other of 8 x 16 in its place.",
    ),
    ([without("scale")], "the model folder holds 391 weights, but the model has 398."),
    (
        [tensors(), {"q.weight": tensors()["q.weight"]}],
        "model/1.safetensors holds q.weight, which another file holds too.",
    ),
]


@pytest.mark.parametrize(("files", "sentence"), WRONG)
def test_weights_of_other_shapes(
    tmp_path: Path, files: list[dict[str, np.ndarray]], sentence: str
) -> None:
    report = verify(with_weights(tmp_path, *files))
    assert [check.name for check in report.failed] == ["model folder"]
    assert report.problems == (sentence,)


def test_a_tensor_stands_in_for_one_matrix_only(tmp_path: Path) -> None:
    folder = with_weights(tmp_path, {**without("q.weight", "d.weight"), **OTHER_NAME})
    for key, value in {"rows": 16, "cols": 8, "stored": "cols_rows"}.items():
        edit(folder, "matrices", 4, key, to=value)
    assert verify(folder)["model folder"].problems[0] == (
        "the model folder has no tensor d.weight, and no other of 8 x 16 in its place."
    )


def test_a_header_is_not_read_beyond_the_limit_of_the_format(tmp_path: Path) -> None:
    folder = with_weights(tmp_path, tensors())
    file = folder / "model" / "0.safetensors"
    file.write_bytes(struct.pack("<Q", 100_000_001))
    os.truncate(file, 200_000_000)  # zeros that no disk holds
    assert verify(seal(folder)).problems == (
        "model/0.safetensors has no whole header: it is cut short or something else.",
    )


def header(**entry: Any) -> bytes:
    text = json.dumps({"q.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}})
    return struct.pack("<Q", len(text)) + text.encode() + bytes(8)


DAMAGED: list[tuple[bytes, str]] = [
    (b"", "has no whole header: it is cut short or something else."),
    (struct.pack("<Q", 2**63) + b"{}", "has no whole header: it is cut short or something else."),
    (struct.pack("<Q", 2) + b"{]", "cannot be read: Expecting property name enclosed in double "
     "quotes: line 1 column 2 (char 1)."),
    (struct.pack("<Q", 2) + b"[]", "has a header that lists no tensors."),
    (header()[:-1], ": q.weight reaches over the end of the file: it is cut short."),
    (header() + b"\0", "holds 9 bytes of weights, but its tensors take 8."),
    (header(shape=[3]), ": q.weight is 3 F32, but has 8 bytes."),
    (header(shape=[-2]), ": q.weight is not described as the format demands."),
    (header(data_offsets=[0]), ": q.weight is not described as the format demands."),
    (header(dtype=[]), ": q.weight is not described as the format demands."),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), DAMAGED)
def test_damaged_weights(tmp_path: Path, content: bytes, sentence: str) -> None:
    folder = with_weights(tmp_path, tensors())
    (folder / "model" / "0.safetensors").write_bytes(content)
    report = verify(seal(folder))
    assert report["model folder"].outcome == "failed"
    [found] = report.problems
    assert found.startswith("model/0.safetensors") and sentence in found


def test_dead_crossbars_and_orders_of_lines(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    with np.load(folder / "blocks.npz") as stored:
        tables = dict(stored)
    data = json.loads((folder / "program.json").read_text())
    data["defects"] = {"name": "map.csv", "rates": None}
    (folder / "program.json").write_text(json.dumps(data))
    place = tables["placements"][0]
    at = tuple(int(place[key]) for key in ("chip", "tile", "tier"))

    def found(**changed: np.ndarray) -> tuple[str, ...]:
        with (folder / "blocks.npz").open("wb") as file:
            np.savez(file, **{**tables, "defects": entry(4, -1, -1), **changed})
        return verify(seal(folder))["defects"].problems

    def entry(*where: int, row: int = -1, column: int = -1, state: int = 2) -> np.ndarray:
        table = np.full(1, -1, tables["defects"].dtype)
        for key, value in zip(("chip", "tile", "tier"), where, strict=True):
            table[key] = value
        table["row"], table["column"], table["state"] = row, column, state
        return table

    assert found() == ()
    assert found(defects=entry(*at, state=0)) == ()  # stuck cells, not dead
    assert found(defects=entry(3, 0, -1)) == ()
    for where in (at, (at[0], at[1], -1), (-1, at[1], at[2]), (-1, -1, -1)):
        [sentence] = found(defects=entry(*where))
        assert "which is dead" in sentence

    # Of the 16 rows and 12 columns of this crossbar, blocks use all.
    [sentence] = found(defects=entry(*at, row=3))
    assert sentence.endswith("which has 15 rows left (the first of 2).")
    [sentence] = found(defects=entry(-1, -1, at[2], column=0))
    assert "reaches to column 11 of" in sentence and "which has 11 columns left" in sentence
    assert found(defects=entry(4, -1, -1, row=3)) == ()

    here = tables["placements"]
    same = (here["chip"] == at[0]) & (here["tile"] == at[1]) & (here["tier"] == at[2])
    blocks = tables["blocks"][here["block"][same]]
    rows = int((here["row"][same] + blocks["rows"]).max())
    cols = int((here["col"][same] + blocks["cols"]).max())
    orders = np.array([(*at, rows, cols)], tables["orders"].dtype)
    lines = np.concatenate([np.arange(rows)[::-1], np.arange(cols)]).astype("<i4")
    assert found(orders=orders, lines=lines) == ()
    assert "name" in found(orders=orders, lines=lines[1:])[0]
    twice = lines.copy()
    twice[0] = twice[1]
    assert "twice" in found(orders=orders, lines=twice)[0]
    fewer = orders.copy()
    fewer["rows"] -= 1
    assert "do not fill" in found(orders=fewer, lines=lines[1:])[0]
