"""Rewrites as a step of a compile: recorded, saved, and kept by what is compiled from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import run
from models import tiny_model, tiny_tokenizer
from rewritten import IDS

import afmc
from afmc.errors import OptionError
from afmc.program.rewriting import NAMES
from afmc.rewrite import difference, outputs


def compiled(**options: object) -> afmc.CompiledModel:
    module = tiny_model("llama")
    target, level = options.pop("target", "ideal-512"), options.pop("level", 0)
    return afmc.compile(module, target, tokenizer=tiny_tokenizer(), level=level, **options)  # type: ignore[arg-type]


def test_a_compile_rewrites_what_it_is_asked_to(tmp_path: Path) -> None:
    module: Any = tiny_model("llama")
    model = compiled(rewrite=NAMES)
    rewriting = model.program.rewriting
    assert rewriting is not None and rewriting.applied == NAMES
    assert rewriting.tokens >= 64 and rewriting.text == "pydoc_data.topics, second half"
    assert difference(outputs(model.write(), IDS), outputs(module, IDS)) < 1e-5
    assert module.lm_head.weight is module.model.embed_tokens.weight, "the user's model stays"
    assert "lm_head.weight" in model.program.by_name and len(model.program.matrices) == 15
    assert model.program.by_name["lm_head.weight"].tied_to is None

    model.save(tmp_path / "folder")
    read = afmc.load(tmp_path / "folder")
    assert read.program.rewriting == rewriting
    assert torch.equal(outputs(read.digital, IDS), outputs(model.digital, IDS))
    assert difference(outputs(read.write(), IDS), outputs(module, IDS)) < 1e-5


def test_inputs_that_weights_rotate_are_not_rotated_again() -> None:
    model = compiled(rewrite=NAMES, level=1, target="afm-512-projected")
    recovery = model.program.recovery
    assert recovery is not None and set(recovery.rotated) == {
        matrix.input for matrix in model.program.matrices if "down_proj" in matrix.name
    }


def test_nothing_is_rewritten_unless_it_is_asked_for() -> None:
    assert compiled().program.rewriting is None


def test_why_a_model_is_not_rewritten() -> None:
    shapes = compiled(rewrite=("untie",), shapes_only=True).program.rewriting
    assert shapes is not None and shapes.steps[0].reason == "Weights are not read."
    demo = afmc.compile("demo", rewrite=("heads",), level=0).program.rewriting
    assert demo is not None and not demo.applied
    assert demo.steps[0].reason.startswith("The model was trained with its own input ranges")
    with pytest.raises(OptionError, match="there is no rewrite R1; there are untie, fold_norms"):
        compiled(rewrite=("R1",))


def test_a_kept_mapping_is_of_the_same_rewrites(tmp_path: Path) -> None:
    compiled(rewrite=NAMES).save(tmp_path / "folder")
    again = compiled(rewrite=NAMES, keep=tmp_path / "folder")
    assert again.program.rewriting is not None and again.program.rewriting.applied == NAMES
    with pytest.raises(afmc.AfmcError, match="with untie, fold_norms, residual, heads rewrites"):
        compiled(keep=tmp_path / "folder")


def test_from_the_command_line(tmp_path: Path) -> None:
    arguments = ("-t", "hermes-64", "-O0", "-o", "out", "--rewrite", "untie, fold_norms,residual")
    ran = run(tmp_path, "compile", "demo-teacher", *arguments)
    assert ran.returncode == 0, ran.stderr
    shown = ran.stdout.partition("rewrites of the weights, and why not")[2]
    assert "fold_norms" in shown and "residual" in shown and "heads" not in shown
    wrong = run(tmp_path, "compile", "demo", "--rewrite", "R1")
    assert wrong.returncode == 2 and "there is no rewrite R1; there are untie" in wrong.stderr
