"""Small random models of the families that users bring, and what is found in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from models import ARCHITECTURES, SIZES, TOKENS, tiny_tokenizer

import afmc
from afmc.frontends.graph.export import SEQUENCE

_OLDER: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    **TOKENS,
}
FAMILIES: dict[str, Callable[[], torch.nn.Module]] = {
    **{
        name: ARCHITECTURES[architecture]
        for name, architecture in (
            ("Llama", "llama"),
            ("Qwen2", "qwen2"),
            ("Phi-3", "phi3"),
            ("Gemma 3", "gemma3"),
            ("GPT-2", "gpt2"),
            ("BERT", "bert"),
            ("Mixtral", "mixtral"),
            ("Qwen3-MoE", "qwen3_moe"),
            ("DeepSeek-V3", "deepseek_v3"),
            ("gpt-oss", "gpt_oss"),
        )
    },
    "Mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**SIZES, sliding_window=16)),
    "Qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**SIZES, head_dim=8)),
    "Gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**SIZES, head_dim=8)),
    "Gemma 2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**SIZES, head_dim=8)),
    "GPT-NeoX": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_OLDER, intermediate_size=48)),
    "OPT": lambda: hf.OPTForCausalLM(hf.OPTConfig(**_OLDER, ffn_dim=48, word_embed_proj_dim=32)),
    "Falcon": lambda: hf.FalconForCausalLM(hf.FalconConfig(**_OLDER, bias=True)),
    "T5 encoder": lambda: hf.T5EncoderModel(
        hf.T5Config(
            vocab_size=60,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            pad_token_id=2,
            eos_token_id=1,
        )
    ),
    "Mamba": lambda: hf.MambaForCausalLM(
        hf.MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, state_size=4, **TOKENS)
    ),
    "Mamba-2": lambda: hf.Mamba2ForCausalLM(
        hf.Mamba2Config(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=2,
            state_size=4,
            num_heads=8,
            head_dim=8,
            n_groups=2,
            chunk_size=8,
            **TOKENS,
        )
    ),
    "Jamba": lambda: hf.JambaForCausalLM(
        hf.JambaConfig(
            **SIZES,
            **TOKENS,
            attn_layer_period=2,
            attn_layer_offset=1,
            expert_layer_period=2,
            expert_layer_offset=1,
            num_experts=4,
            num_experts_per_tok=2,
            mamba_d_state=4,
            mamba_dt_rank=4,
            use_mamba_kernels=False,
        )
    ),
    "RecurrentGemma": lambda: hf.RecurrentGemmaForCausalLM(
        hf.RecurrentGemmaConfig(
            **{**SIZES, "num_hidden_layers": 3},
            **TOKENS,
            head_dim=8,
            lru_width=32,
            attention_window_size=16,
        )
    ),
}
"""By the name that users know."""
LOOPS = {"Mamba", "Jamba", "RecurrentGemma"}
"""Whose graph has the loop over tokens written out."""
HEADINGS = (
    "family",
    "matrices",
    "on tiles",
    "multiply-accumulates on tiles",
    "what is not, and why",
)
# Cut by rows and by columns.
TARGET = afmc.load_target("ideal-512", {"crossbar.rows": 20, "crossbar.columns": 24})


@dataclass(frozen=True)
class Found:
    row: tuple[str, ...]
    """Cells of the table in docs/results/families.md."""
    module_error: float
    """Largest difference of outputs from the model's own, by the largest of these."""
    graph_error: float
    """Relative difference of the exported graph."""


def look_at(family: str) -> Found:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = FAMILIES[family]().eval()
        ids = torch.randint(3, 39, (3, 21))
    model = afmc.compile(module, TARGET, tokenizer=tiny_tokenizer(), level=0)
    expected = _outputs(module, ids)
    module_error = float(
        (_outputs(model.write(), ids) - expected).abs().max() / expected.abs().max()
    )
    if family in LOOPS:
        ids, expected = ids[:, :SEQUENCE], _outputs(module, ids[:, :SEQUENCE])
    graph = model.graph()(ids)
    graph = graph if isinstance(graph, torch.Tensor) else next(iter(graph.values()))
    graph_error = float((graph - expected).abs().max() / expected.abs().max())
    summary = model.summary
    analog, digital = summary.matrices_analog, summary.matrices_digital
    reasons = "; ".join(dict.fromkeys((model.program.digital or {}).values()))
    share = f"{100 * summary.macs_analog_fraction:.1f} %"
    row = (family, str(analog + digital), str(analog), share, reasons)
    return Found(row, module_error, graph_error)


def _outputs(module: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found = module(input_ids=ids)
    first: torch.Tensor = found["logits"] if "logits" in found else found[0]
    return first
