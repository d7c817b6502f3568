"""Classifiers from compile to accuracy: ONNX files, modules and programs, on perfect and on noisy
tiles, in Python and from the command line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import digits, images, onnxruntime_says
from in_process import run
from torch.export import Dim

import afmc
from afmc.common.install import install
from afmc.data.samples import Samples
from afmc.errors import ModelError, OptionError, SampleError
from afmc.verifier import verify

PERFECT = "ideal-512"
NOISY = "hermes-64"


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network, as torch exports it."""
    path = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    with pytest.warns(Warning):  # the exporter's own
        torch.onnx.export(
            digits(),
            (images(2),),
            path,
            dynamo=True,
            dynamic_shapes=({0: Dim("images")},),
            verbose=False,
        )
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the network says itself, but for every tenth."""
    x = images(200, seed=1)
    with torch.no_grad():
        labels = digits()(x).argmax(dim=1)
    labels[::10] = (labels[::10] + 1) % 5
    path = tmp_path_factory.mktemp("data") / "labelled.npz"
    np.savez(path, inputs=x.numpy(), labels=labels.numpy())
    return path


def test_an_onnx_file_computes_on_perfect_tiles_what_onnxruntime_does(onnx_file: Path) -> None:
    model = afmc.compile(onnx_file, PERFECT, level=0)
    assert [m.name for m in model.program.analog] == [
        "first.weight",
        "second.weight",
        "head.weight",
    ]
    x = images(7)
    expected = onnxruntime_says(onnx_file, x=x.numpy())
    found = model.write()(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.array_equal(
        afmc.compile(onnx_file, NOISY, example_inputs=x, level=0).write()(x), found
    )


def test_every_way_in_gives_the_same_products() -> None:
    x = images(64)
    with torch.no_grad():
        exported = torch.export.export(digits(), (x,), dynamic_shapes=({0: Dim("images")},))
        expected = digits()(x)
    from_module = afmc.compile(digits(), NOISY, example_inputs=x, level=0)
    from_program = afmc.compile(exported, NOISY, level=0)
    torch.testing.assert_close(from_module.write(seed=3)(x), from_program.write(seed=3)(x))
    for model in (from_module, from_program):
        assert model.program.model.unit == "inference"
        assert model.program.model.parameters == sum(p.numel() for p in digits().parameters())
        perfect = model.without_noise().on({"input.bits": None, "output.bits": None})
        torch.testing.assert_close(perfect.write()(x), expected, atol=1e-5, rtol=1e-4)


def test_accuracy_of_what_is_saved_and_loaded(
    onnx_file: Path, labelled: Path, tmp_path: Path
) -> None:
    model = afmc.compile(
        onnx_file, NOISY, example_inputs=labelled, calibration="percentile:99.9", level=0
    )
    calibration = model.program.calibration
    assert calibration is not None
    assert (calibration.text, calibration.tokens) == ("labelled.npz", 200)
    found = model.classify(labelled, instances=2, at=["1s", "1y"])
    assert found.digital_accuracy == 0.9
    assert found.samples == 200 and found.instances == 2
    assert 0.5 < found.outcomes[1].accuracy.mean < 0.97
    assert found.top1_agreement.mean > 0.7
    model.save(tmp_path / "out")
    again = afmc.load(tmp_path / "out").classify(labelled, instances=2, at=["1s", "1y"])
    assert again.outcomes == found.outcomes
    assert verify(tmp_path / "out").passed


def test_accuracy_on_perfect_tiles_is_the_digital_one(labelled: Path) -> None:
    model = afmc.compile(digits(), PERFECT, example_inputs=images(4), level=0)
    found = model.classify(labelled, samples=50, instances=1)
    assert found.digital_accuracy == found.accuracy.mean == 0.9
    assert found.top1_agreement.mean == 1
    assert found.samples == 50


def test_a_model_that_takes_a_fixed_number_at_once(labelled: Path) -> None:
    exported = torch.export.export(digits(), (images(3),))
    model = afmc.compile(exported, PERFECT, level=0)
    found = model.classify(labelled, instances=1)
    assert found.samples == 198  # 66 times 3


def afmc_says(*arguments: str | Path, status: int = 0) -> str:
    result = run(Path(), *arguments)
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if status == 0 else result.stderr.strip().splitlines()[-1]


def test_from_the_command_line(onnx_file: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = json.loads(
        afmc_says("compile", "-O0", onnx_file, "-t", NOISY, "--data", labelled, "-o", out, "--json")
    )
    assert (said["matrices_analog"], said["architecture"][:4]) == (3, "ONNX")
    found = json.loads(afmc_says("validate", out, "--data", labelled, "--instances", "2", "--json"))
    assert found["digital"]["accuracy"] == 0.9
    validation = tmp_path / "validation.json"
    validation.write_text(json.dumps(found))
    assert afmc_says("report", out, "--validation", validation, status=2) == (
        f"error: the validation {validation} is of a classifier, whose accuracy the page does not "
        f"show yet."
    )
    assert len(found["analog"]["accuracy"]["values"]) == 2
    shown = afmc_says("validate", out, "--data", labelled, "--instances", "1", "--samples", "20")
    assert "90.00 %" in shown and "20 samples of labelled.npz" in shown
    costs = afmc_says("costs", out, "--against", "none")
    assert "an inference on hermes-64: batch 1" in costs
    assert afmc_says("costs", out, "--phase", "prefill", status=2).endswith(
        "has no prompt: its costs are those of an inference, for which the phase is decode."
    )
    assert "is no language model: its accuracy is measured on labelled samples" in afmc_says(
        "validate", out, status=2
    )


def test_sentences_of_the_command_line(onnx_file: Path, labelled: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "out", tmp_path / "text"
    text.write_text("hello")
    assert afmc_says("compile", "-O0", onnx_file, "-t", NOISY, "-o", out, status=2) == (
        f"error: {onnx_file} has no samples to calibrate its input ranges on: give some with "
        f"--data FILE.npz (example_inputs=...)."
    )
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(onnx_file.read_bytes()[:-5])
    assert afmc_says("compile", "-O0", damaged, "-t", PERFECT, "-o", out, status=2) == (
        f"error: {damaged} is not an ONNX file, or is damaged or cut short."
    )
    assert afmc_says("compile", "-O0", onnx_file, "-t", PERFECT, "--shapes-only", status=2) == (
        f"error: {onnx_file} is a .onnx file, whose shapes are not read without its weights: with "
        f"--shapes-only give a folder or id with a config.json, or a .json configuration."
    )
    assert afmc_says(
        "compile", "-O0", onnx_file, "-t", PERFECT, "--text", text, "-o", out, status=2
    ) == (
        f"error: {onnx_file} is no language model: its input ranges are calibrated on samples "
        f"(--data FILE.npz), not on a text."
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (Samples({"x": images(3).numpy()}), "samples in memory has no array 'labels'"),
        (
            Samples({"x": images(3).numpy()}, np.array([0, 1, 5])),
            "samples in memory has the label 5, but the model tells 5 classes apart, from 0.",
        ),
        (
            Samples({"x": images(3).numpy()[:, :, 1:]}, np.array([0, 1, 4])),
            "'x' of samples in memory is 3 x 1 x 7 x 8 float32, but Digits reads samples x 1 x 8 x"
            " 8.",
        ),
    ],
)
def test_samples_that_do_not_do(samples: Samples, sentence: str) -> None:
    model = afmc.compile(digits(), PERFECT, example_inputs=images(4), level=0)
    with pytest.raises(SampleError) as error:
        model.classify(samples)
    assert str(error.value).startswith(sentence)


def test_options_that_do_not_go_together(tiny_llama: Any, labelled: Path) -> None:
    with pytest.raises(OptionError, match="is a language model: its input ranges are calibrated"):
        afmc.compile(tiny_llama, PERFECT, example_inputs=labelled, level=0)
    with pytest.raises(ModelError, match="is a language model: its accuracy is measured on a text"):
        afmc.compile(tiny_llama, PERFECT, level=0).classify(labelled)
    with pytest.raises(OptionError, match="leave one of the two out"):
        afmc.compile(digits(), PERFECT, example_inputs=images(2), shapes_only=True, level=0)


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    from models import tiny_model

    folder = tmp_path_factory.mktemp("llama")
    model: Any = tiny_model("llama")
    model.save_pretrained(folder)
    return str(folder)


def test_without_the_package_onnx(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.frontends.onnx.frontend.find_spec", lambda name: None)
    with pytest.raises(ModelError) as error:
        afmc.compile(onnx_file, PERFECT, level=0)
    assert str(error.value) == (
        f'reading {onnx_file} needs the package onnx: run "{install("onnx")}".'
    )
