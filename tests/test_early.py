"""Mistakes that are said before weights are read, or before a long compile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer

import afmc
from afmc.compiler import steps
from afmc.compiler.early import check_patterns
from afmc.errors import ArtifactError, OptionError, TextError
from afmc.passes.partition import Partition
from afmc.program.folder import check_writable
from afmc.targets import load_target


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this is too late")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("mixtral").save_pretrained(tmp_path / "tiny")  # type: ignore[operator]
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("shapes_only", [False, True])
def test_patterns_are_held_against_the_configuration(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shapes_only: bool
) -> None:
    monkeypatch.setattr(steps, "load", refuse)
    monkeypatch.setattr(steps, "find_structure", refuse)
    sentence = r"--digital 'q_porj' matches none of the matrices of .*tiny. Did you mean 'q_proj'\?"
    with pytest.raises(OptionError, match=sentence):
        afmc.compile(folder, digital=["k_proj", "q_porj"], shapes_only=shapes_only, level=0)
    with pytest.raises(OptionError, match=sentence):
        afmc.compile(
            folder, settings={"partition.digital": ("q_porj",)}, shapes_only=shapes_only, level=0
        )


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "deepseek_v3", "phi3", "bert"])
def test_every_name_of_a_matrix_is_a_pattern_that_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tiny_model(name)
    program = afmc.compile(module, "ideal-512", shapes_only=True, level=0).program
    patterns = {part for m in program.matrices for part in (m.module, m.name)}
    patterns |= {part.rsplit(".", 1)[-1] for m in program.matrices for part in (m.module,)}
    some = Partition(tuple(sorted(patterns)))
    check_patterns([some], module, name)


def test_in_memory_before_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "find_structure", refuse)
    with pytest.raises(OptionError, match="--digital 'x_proj' matches none of the matrices of "):
        afmc.compile(tiny_model("llama"), "ideal-512", digital=["x_proj"], level=0)


def test_of_other_networks_before_anything_is_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "calibrate", refuse)
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with pytest.raises(OptionError, match="--digital '3' matches none of the 2 matrices"):
        afmc.compile(
            network, "afm-512-projected", example_inputs=torch.rand(4, 8), digital=["3"], level=0
        )


def test_samples_of_a_language_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.frontends.load.load_source", refuse)
    with pytest.raises(OptionError, match="is a language model: its input ranges are calibrated"):
        afmc.compile(folder, example_inputs=torch.tensor(np.zeros((2, 2))), level=0)


def test_a_text_is_read_before_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "short.txt").write_text("x")
    monkeypatch.setattr(steps, "find_structure", refuse)
    with pytest.raises(TextError, match=r"the text short.txt is too short to calibrate on."):
        afmc.compile(folder, text=folder / "short.txt", level=0)
    monkeypatch.setattr(steps, "load", refuse)
    with pytest.raises(TextError, match=r"the text .*none.txt does not exist."):
        afmc.compile(folder, text=folder / "none.txt", level=0)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [([300], "File name too long"), ([250] * 16, "leaves no room for names of files in it")],
)
def test_paths_that_are_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[int], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path(*("a" * length for length in parts))
    with pytest.raises(ArtifactError, match=sentence):
        check_writable(name, "tiny", load_target("ideal-512"))
