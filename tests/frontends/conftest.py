"""Tiny random models of the architectures that are promised to work."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
import transformers as hf
from torch.export import ExportedProgram

from afmc.frontends.export import export

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 60,
    "max_position_embeddings": 64,
}
TOKENS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}

ARCHITECTURES: dict[str, Callable[[], torch.nn.Module]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "gpt2": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=60, n_positions=64, **TOKENS)
    ),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SIZES)),
    "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**SIZES, **TOKENS)),
    "gemma3": lambda: hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(
            **SIZES,
            **TOKENS,
            head_dim=8,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"],
        )
    ),
    "bert": lambda: hf.BertForMaskedLM(
        hf.BertConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=60,
            max_position_embeddings=64,
        )
    ),
    "mixtral": lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**SIZES, num_local_experts=4)),
}


Tiny = Callable[[str], torch.nn.Module]
Exports = Callable[[str], tuple[torch.nn.Module, ExportedProgram]]


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """A random model of an architecture in evaluation mode, the same one every time."""

    def make(architecture: str) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return ARCHITECTURES[architecture]().eval()

    return make


@pytest.fixture(scope="session")
def exports(tiny: Tiny) -> Exports:
    """A tiny model and its export, made once for all tests that only look at it."""

    @cache
    def make(architecture: str) -> tuple[torch.nn.Module, ExportedProgram]:
        module = tiny(architecture)
        return module, export(module)

    return make
