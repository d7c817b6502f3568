"""Tiny random models of the architectures that are promised to work, and a tokenizer for them."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

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
    "qwen3_moe": lambda: hf.Qwen3MoeForCausalLM(
        hf.Qwen3MoeConfig(
            **{**SIZES, "num_hidden_layers": 1},
            head_dim=8,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
        )
    ),
    "deepseek_v3": lambda: hf.DeepseekV3ForCausalLM(
        hf.DeepseekV3Config(
            **{**SIZES, "num_key_value_heads": 4},
            moe_intermediate_size=24,
            n_routed_experts=8,
            num_experts_per_tok=3,
            n_group=2,
            topk_group=1,
            n_shared_experts=1,
            first_k_dense_replace=1,
            q_lora_rank=16,
            kv_lora_rank=16,
            qk_rope_head_dim=4,
            qk_nope_head_dim=8,
            v_head_dim=8,
        )
    ),
    "gpt_oss": lambda: hf.GptOssForCausalLM(
        hf.GptOssConfig(
            **{**SIZES, "num_hidden_layers": 1},
            head_dim=8,
            num_local_experts=4,
            num_experts_per_tok=2,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    ),
}


def tiny_model(architecture: str) -> torch.nn.Module:
    """In evaluation mode, the same one every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ARCHITECTURES[architecture]().eval()


def tiny_tokenizer() -> Any:
    """One token a character, 60 of them."""
    alphabet = ["<unk>", "<s>", "</s>", *string.ascii_lowercase, *string.digits, *" .,;:()'-_\n"]
    tokenizer = Tokenizer(
        models.WordLevel({c: i for i, c in enumerate(alphabet)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
