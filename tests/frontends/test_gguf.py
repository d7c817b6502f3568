"""Models from .gguf files compute what the models computed that the files were made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gguf_files
import numpy as np
import pytest
import torch
import transformers as hf
from gguf_files import FAMILIES, make, rounded, write
from torch import Tensor

import afmc
from afmc.errors import ModelError
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load

pytest.importorskip("gguf", reason="pip install 'afmc[gguf]'", exc_type=ImportError)

REFUSED = ("Gemma", "Mixtral")
READ = [family for family in FAMILIES if family not in REFUSED]
IDS = torch.randint(3, 60, (2, 24), generator=torch.Generator().manual_seed(1))
PAGE = Path(__file__).parents[2] / "docs" / "start" / "your-model.md"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def logits(module: Any) -> Tensor:
    with torch.inference_mode():
        return module(input_ids=IDS).logits


def read(path: Path) -> Any:
    return load(resolve(str(path))).module


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as error:
        read(path)
    assert not list(path.parent.glob("cache/afmc/models/*"))  # nothing half-written
    return str(error.value).removeprefix(str(path))


def assert_same(ours: Any, theirs: Any) -> None:
    expected = logits(theirs)
    assert (logits(ours) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("family", READ)
def test_a_family(tmp_path: Path, family: str) -> None:
    theirs = make(family)
    loaded: Any = load(resolve(str(write(theirs, family, tmp_path / "m.gguf"))))
    assert_same(loaded.module, theirs)
    assert loaded.tokenizer("AB")["input_ids"] == [35, 36]


@pytest.mark.parametrize("family", ["Qwen3-MoE", "LFM2"])
def test_on_tiles(tmp_path: Path, family: str) -> None:
    theirs = make(family)
    model = afmc.compile(write(theirs, family, tmp_path / "m.gguf"), "ideal-512", level=0)
    assert_same(model.write(), theirs)
    assert model.program.model.parameters == sum(each.numel() for each in theirs.parameters())


def test_the_documentation_says_which() -> None:
    section = PAGE.read_text("utf-8").partition("\n## A GGUF file")[2].partition("\n## ")[0]
    assert all(family in section for family in READ)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"])
def test_kinds_of_numbers(tmp_path: Path, kind: str) -> None:
    theirs = make("Qwen2")
    file = write(theirs, "Qwen2", tmp_path / "m.gguf", kind)
    before = logits(theirs)
    assert_same(read(file), rounded(theirs, "Qwen2", kind))
    assert not torch.equal(logits(theirs), before)


def test_what_transformers_leaves_at_its_default(tmp_path: Path) -> None:
    """Bases of rotary positions, windows of attention, the lengths of heads and their scale."""
    for family, facts, changes in (
        ("StarCoder2", {"rope.freq_base": 2e5}, {"rope_theta": 2e5}),
        ("StableLM", {"rope.dimension_count": 8}, {"partial_rotary_factor": 0.5}),
        ("Qwen2", {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
         {"rope_type": "linear", "factor": 4.0}),
    ):  # fmt: skip
        as_before = read(write(make(family), family, tmp_path / f"{family}.gguf"))
        theirs = make(family)
        theirs.config.rope_parameters |= changes
        changed = type(theirs)(theirs.config).eval()
        changed.load_state_dict(theirs.state_dict())
        ours = read(write(theirs, family, tmp_path / f"{family}-2.gguf", facts=facts))
        assert_same(ours, changed)
        assert (logits(ours) - logits(as_before)).abs().max() > 1e-2
    file = write(make("Phi-3"), "Phi-3", tmp_path / "p.gguf", facts={"attention.sliding_window": 8})
    assert read(file).config.sliding_window == 8


def test_rotary_positions_of_gemma_3(tmp_path: Path) -> None:
    """Positions are stretched in layers that see everything, and in no others."""
    facts = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0, "rope.freq_base": 1e6}
    config = read(write(make("Gemma 3"), "Gemma 3", tmp_path / "m.gguf", facts=facts)).config
    assert config.rope_parameters["full_attention"] == {
        "rope_type": "linear",
        "factor": 8.0,
        "rope_theta": 1e6,
    }
    assert config.rope_parameters["sliding_attention"]["rope_theta"] == 1e4


def stretched() -> tuple[Any, np.ndarray[Any, Any]]:
    """A Llama 3 whose context was stretched, and its factors as llama.cpp stores them."""
    config = make("Llama").config
    config.rope_parameters = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    module = hf.LlamaForCausalLM(config).eval()
    plain = 500000.0 ** -(torch.arange(0, 16, 2) / 16)
    rotary: Any = module.model.rotary_emb
    return module, (plain / rotary.inv_freq).numpy()


def test_a_stretched_llama_3(tmp_path: Path) -> None:
    theirs, factors = stretched()
    assert 1 < len(set(factors.round(3).tolist()))
    file = write(theirs, "Llama", tmp_path / "m.gguf", tensors={"rope_freqs.weight": factors})
    ours = read(file)
    assert ours.config.rope_parameters == theirs.config.rope_parameters
    assert_same(ours, theirs)


def test_positions_that_are_stretched_otherwise_are_refused(tmp_path: Path) -> None:
    theirs, factors = stretched()
    other = {"rope_freqs.weight": factors[::-1].copy()}
    assert refusal(write(theirs, "Llama", tmp_path / "a.gguf", tensors=other)) == (
        " scales rotary positions by factors (rope_freqs.weight) that are not those of Llama 3: "
        "give its Hugging Face folder or id."
    )
    long = {"rope_factors_long.weight": factors, "rope_factors_short.weight": factors}
    assert refusal(write(make("Phi-3"), "Phi-3", tmp_path / "b.gguf", tensors=long)) == (
        " scales rotary positions by factors by frequency, which is not read from GGUF: give its "
        "Hugging Face folder or id."
    )
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    assert refusal(write(make("Qwen2"), "Qwen2", tmp_path / "c.gguf", facts=yarn)) == (
        " scales rotary positions by yarn, which is not read from GGUF: give its Hugging Face "
        "folder or id."
    )


def test_scores_of_the_largest_gemmas(tmp_path: Path) -> None:
    """Those with 27 billion weights divide them by the width of a head's share of the model."""
    large = make("Gemma 2").config
    large.num_hidden_layers, large.query_pre_attn_scalar, large.head_dim = 46, 16, 8
    large.layer_types = large.layer_types * 23
    module = hf.Gemma2ForCausalLM(large).eval()
    assert read(write(module, "Gemma 2", tmp_path / "m.gguf")).config.query_pre_attn_scalar == 16


def test_families_that_are_refused(tmp_path: Path) -> None:
    assert refusal(write(make("Mixtral"), "Mixtral", tmp_path / "m.gguf")) == (
        " holds a mixture of 4 experts as the architecture llama, which transformers takes for a "
        "model without any: give its Hugging Face folder or id."
    )
    assert refusal(write(make("Gemma"), "Gemma", tmp_path / "m.gguf")) == (
        " cannot be converted: it is truncated, damaged or of an architecture that transformers "
        "does not read from GGUF (GGUF model with architecture gemma is not supported yet)."
    )


def test_no_weight_is_left_out_or_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bias = {"blk.0.attn_q.bias": np.ones(64, np.float32)}
    held = sum(each.numel() for each in make("Llama").parameters())
    assert refusal(write(make("Llama"), "Llama", tmp_path / "a.gguf", tensors=bias)) == (
        f" holds {held + 64:,} weights, but LlamaForCausalLM, as which transformers reads it, has "
        f"{held:,}: give its Hugging Face folder or id."
    )
    lost = dataclasses.replace(
        FAMILIES["Qwen2"],
        change=lambda name, values: values[:0] if name == "blk.1.ffn_up.weight" else values,
    )
    monkeypatch.setitem(gguf_files.FAMILIES, "Qwen2", lost)
    assert refusal(write(make("Qwen2"), "Qwen2", tmp_path / "b.gguf")) == (
        " lacks model.layers.1.mlp.up_proj.weight, which Qwen2ForCausalLM needs."
    )
