"""Programs of models whose weights nobody read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import tiny_model, tiny_tokenizer

import afmc
from afmc import CompiledModel, load_target
from afmc.errors import ArtifactError, OptionError
from afmc.program.program import Program

TARGET = load_target("afm-512-projected", {"crossbar.rows": 20, "crossbar.columns": 24})
TEXT = "the quick brown fox jumps over the lazy dog. " * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of experts with its weights and a tokenizer."""
    path = tmp_path_factory.mktemp("tiny")
    tiny_model("mixtral").save_pretrained(path)  # type: ignore[operator]
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def shapes(folder: Path) -> CompiledModel:
    return afmc.compile(folder, TARGET, shapes_only=True, level=0)


def same_mapping(one: Program, other: Program) -> bool:
    tables = ("blocks", "allocations", "placements")
    return one.allocation == other.allocation and all(
        getattr(one, table).tobytes() == getattr(other, table).tobytes() for table in tables
    )


def test_the_mapping_is_that_of_the_model_with_its_weights(
    folder: Path, shapes: CompiledModel, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    whole = afmc.compile(
        folder, TARGET, text=tmp_path / "text.txt", calibration_tokens=128, level=0
    )
    assert same_mapping(shapes.program, whole.program)
    assert shapes.program.matrices == tuple(
        replace(matrix, input_range=None) for matrix in whole.program.matrices
    )
    assert {m.input_range for m in shapes.program.matrices} == {None}
    assert shapes.program.calibration is None and shapes.program.routing is None
    model, expected = shapes.program.model, whole.program.model
    assert model.shapes_only and not expected.shapes_only
    assert (model.parameters, model.architecture) == (expected.parameters, expected.architecture)
    assert [lever.tiles for lever in shapes.levers] == [lever.tiles for lever in whole.levers]


def test_every_weight_is_counted_once(shapes: CompiledModel) -> None:
    found = shapes.inspect()
    counted = found["weights_analog"] + found["weights_digital"] - found["weights_on_both_sides"]
    assert counted == shapes.program.model.parameters
    assert any(matrix.copies == 4 for matrix in shapes.program.analog)


def test_no_weight_is_looked_for(folder: Path, shapes: CompiledModel, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    bare = afmc.compile(tmp_path, TARGET, shapes_only=True, level=0)
    assert same_mapping(bare.program, shapes.program)
    assert bare.program.model.sha256 == shapes.program.model.sha256


def test_a_module_in_memory(shapes: CompiledModel) -> None:
    module = tiny_model("mixtral")
    assert same_mapping(
        afmc.compile(module, TARGET, shapes_only=True, level=0).program, shapes.program
    )
    with torch.device("meta"):
        nowhere = tiny_model("mixtral")
    model = afmc.compile(nowhere, TARGET, shapes_only=True, level=0)
    assert same_mapping(model.program, shapes.program)
    assert {p.device.type for p in module.parameters()} == {"cpu"}


def test_on_disk(shapes: CompiledModel, tmp_path: Path) -> None:
    saved = shapes.save(tmp_path / "out")
    assert {file.name for file in saved.iterdir()} == {
        *("afmc_manifest.json", "blocks.npz", "compile.json", "program.json"),
    }
    assert json.loads((saved / "program.json").read_text())["model"]["shapes_only"] is True
    again = afmc.load(saved)
    assert same_mapping(again.program, shapes.program)
    assert again.program.model == shapes.program.model
    measured = {"wall_s": None, "stages_s": None, "peak_rss_mb": None}
    first, second = (json.dumps({**m.inspect(), **measured}) for m in (shapes, again))
    assert first == second
    assert (again.save(tmp_path / "copy") / "blocks.npz").read_bytes() == (
        saved / "blocks.npz"
    ).read_bytes()


def test_what_needs_weights_says_so(shapes: CompiledModel, folder: Path) -> None:
    for purpose, call in (
        ("validate", lambda: shapes.validate(tokens=128, window=32)),
        ("validate", lambda: shapes.validate(settings={"device.noise": None})),
        ("run", lambda: shapes.run("the quick")),
        ("write", shapes.write),
        ("this", lambda: shapes.digital),
        ("this", shapes.graph),
        ("this", lambda: shapes.tiles),
    ):
        with pytest.raises(ArtifactError) as error:
            call()
        assert str(error.value) == (
            f"{folder} was compiled from its shapes only, and {purpose} needs its weights: "
            f"compile the folder or id that holds them, without --shapes-only."
        )
    assert shapes.tokenizer is None


def test_a_text_is_refused() -> None:
    with pytest.raises(OptionError) as error:
        afmc.compile(tiny_model("llama"), TARGET, shapes_only=True, text="text.txt", level=0)
    assert str(error.value) == (
        "a text calibrates input ranges on the weights, which --shapes-only does not read: leave "
        "one of the two out."
    )


def test_more_blocks_than_can_be_counted(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_embd": 10**7, "n_head": 1, "n_layer": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(OptionError) as error:
        afmc.compile(tmp_path, TARGET, shapes_only=True, level=0)
    assert str(error.value) == (
        f"{tmp_path} is cut into at least 250,001,147,500,000 blocks of 20 x 24, but a program "
        f"counts no more than 2,147,483,647: take a target with larger crossbars."
    )
