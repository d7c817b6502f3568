"""Lowered models run, at any length, and give what the FX execution of the same tiles gives."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from graphs import digits, images
from lowered import compiled, lowered

import afmc
from afmc.common.install import install
from afmc.errors import ModelError, OptionError
from afmc.mlir import Executable, lower


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mixtral"])
@pytest.mark.parametrize("tiles", ["perfect", "noisy"])
def test_logits_are_those_of_fx(architecture: str, tiles: str, generator: torch.Generator) -> None:
    model, text = compiled(architecture), lowered(architecture)
    if tiles == "perfect":
        model = model.without_noise()
    running = Executable.of(model, text)
    for batch, length in ((1, 5), (3, 21)):
        ids = torch.randint(0, 39, (batch, length), generator=generator)
        model.write(seed=3)
        expected = model.graph()(ids)
        model.write(seed=3)  # the noise of reads begins anew
        found = running(ids)
        assert found.shape == expected.shape == (batch, length, 60)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.abs().max() > 0.1


def test_products_are_bound_by_name(generator: torch.Generator) -> None:
    """Exact ones give the digital model; each matrix is asked for once, in dataflow order."""
    model, text = compiled("llama"), lowered("llama")
    tensors = dict(model.digital.named_parameters())
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    asked: list[str] = []

    def product(matrix: str, x: torch.Tensor) -> torch.Tensor:
        asked.append(matrix)
        return x @ tensors[matrix].T

    ids = torch.randint(0, 39, (2, 9), generator=generator)
    found = Executable(text, tensors, product)(ids)
    with torch.inference_mode():
        expected = model.digital(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert asked == [matrix.name for matrix in model.program.analog]


def test_an_error_in_a_product_is_what_the_caller_sees() -> None:
    model = compiled("llama")

    def product(matrix: str, x: torch.Tensor) -> torch.Tensor:
        raise KeyError(f"no tile for {matrix}")

    running = Executable(lowered("llama"), dict(model.digital.named_parameters()), product)
    with pytest.raises(KeyError, match=r"no tile for model\.layers\.0\.self_attn\.q_proj\.weight"):
        running(torch.zeros(1, 3, dtype=torch.long))


def test_a_tensor_that_is_not_given() -> None:
    with pytest.raises(
        ModelError, match=r"reads the tensor model\.layers\.0\.input_layernorm\.weight, which is"
    ):
        Executable(lowered("llama"), {}, lambda matrix, x: x)


def test_a_classifier_on_tiles() -> None:
    model = afmc.compile(digits(), "afm-512-projected", example_inputs=images(16), level=0)
    running = Executable.of(model)
    for samples in (1, 5):
        x = images(samples, seed=1)
        analog = model.write(seed=3)
        with torch.inference_mode():
            expected = analog(x)
        model.write(seed=3)
        torch.testing.assert_close(running(x), expected, rtol=0, atol=1e-5)


def test_a_text_that_is_not_in_the_dialects_of_mlir() -> None:
    model = compiled("llama")
    with pytest.raises(ModelError, match=r"^this is no MLIR that IREE reads: "):
        Executable.of(model, "module {")
    with pytest.raises(ModelError, match=r"^IREE does not compile the lowered model: .*torch\."):
        Executable.of(model, lower(model, "torch"))


def test_without_iree_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    text = lowered("llama")
    monkeypatch.setitem(sys.modules, "iree.compiler", None)
    sentence = f'needs the package iree-base-compiler: run "{re.escape(install("mlir"))}"[.]$'
    with pytest.raises(OptionError, match=sentence):
        Executable(text, {}, lambda matrix, x: x)


def test_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import mlir_digital

    difference = mlir_digital.main(["--tokens", "7", "-o", str(tmp_path / "demo.mlir")])
    assert difference < 1e-4
    printed = capsys.readouterr().out
    assert "demo.mlir: 29 calls of 29 matrices on tiles" in printed
    assert "logits [1, 7, 1024] from 29 products on noisy tiles" in printed
