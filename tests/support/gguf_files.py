"""Small random models as .gguf files, written by the conventions of llama.cpp's converter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from models import SIZES, TOKENS
from numpy.typing import NDArray

Array = NDArray[np.float32]

WORDS = 64
_SIZES: dict[str, Any] = {
    **SIZES,
    **TOKENS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "vocab_size": WORDS,
    "tie_word_embeddings": False,
}
_HEADS, _HEAD = 4, 16
_OLDER: dict[str, Any] = {"vocab_size": WORDS, **TOKENS}
_EXPERTS: dict[str, Any] = {
    **_SIZES,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
}


@dataclass(frozen=True)
class Family:
    """How one kind of model is made and written."""

    architecture: str
    """As the file says it."""
    make: Callable[[], Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Metadata besides those of every model, without the architecture before them."""
    change: Callable[[str, Array], Array] = lambda name, values: values
    """What llama.cpp stores for a tensor, by the name that it gives it."""


def _permuted(name: str, values: Array) -> Array:
    """Rotary halves of each head as pairs."""
    heads = {"attn_q": _HEADS, "attn_k": 2}.get(name.split(".")[-2])
    if heads is None:
        return values
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _one_added(name: str, values: Array) -> Array:
    return values + 1 if name.endswith("norm.weight") else values


def _transposed(name: str, values: Array) -> Array:
    of_layer = name.startswith("blk.") and values.ndim == 2
    return np.ascontiguousarray(values.T) if of_layer else values


def _bloom(name: str, values: Array) -> Array:
    """Queries, keys and values one after the other, not by head."""
    if "attn_qkv" not in name:
        return values
    by_head = values.reshape(_HEADS, 3, _HEAD, *values.shape[1:])
    return np.ascontiguousarray(by_head.swapaxes(0, 1).reshape(values.shape))


def _mamba(name: str, values: Array) -> Array:
    if name.endswith("ssm_a"):
        return -np.exp(values)
    return values.squeeze(1) if "ssm_conv1d.weight" in name else values


FAMILIES: dict[str, Family] = {
    "Llama": Family(
        "llama", lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_SIZES)), change=_permuted
    ),
    "Mistral": Family(
        "llama",
        lambda: hf.MistralForCausalLM(hf.MistralConfig(**_SIZES, sliding_window=None)),
        change=_permuted,
    ),
    "Qwen2": Family("qwen2", lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_SIZES))),
    "Qwen3": Family("qwen3", lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_SIZES, head_dim=_HEAD))),
    "Phi-3": Family("phi3", lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**_SIZES))),
    "Gemma 2": Family(
        "gemma2",
        lambda: hf.Gemma2ForCausalLM(
            hf.Gemma2Config(
                **{**_SIZES, "tie_word_embeddings": True},
                head_dim=_HEAD,
                query_pre_attn_scalar=_HEAD,
                sliding_window=8,
            )
        ),
        {
            "attention.sliding_window": 8,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        _one_added,
    ),
    "Gemma 3": Family(
        "gemma3",
        lambda: hf.Gemma3ForCausalLM(
            hf.Gemma3TextConfig(
                **{**_SIZES, "tie_word_embeddings": True, "num_hidden_layers": 6},
                head_dim=_HEAD,
                query_pre_attn_scalar=_HEAD,
                sliding_window=8,
            )
        ),
        {"attention.sliding_window": 8},
        _one_added,
    ),
    "GPT-2": Family(
        "gpt2",
        lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(n_embd=64, n_layer=2, n_head=_HEADS, n_positions=64, **_OLDER)
        ),
        change=_transposed,
    ),
    "StableLM": Family(
        "stablelm",
        lambda: hf.StableLmForCausalLM(hf.StableLmConfig(**_SIZES, use_qkv_bias=True)),
    ),
    "StarCoder2": Family(
        "starcoder2",
        lambda: hf.Starcoder2ForCausalLM(hf.Starcoder2Config(**_SIZES, sliding_window=None)),
    ),
    "Falcon": Family(
        "falcon",
        lambda: hf.FalconForCausalLM(
            hf.FalconConfig(
                **_OLDER,
                hidden_size=64,
                num_hidden_layers=2,
                num_attention_heads=_HEADS,
                ffn_hidden_size=256,
                max_position_embeddings=64,
            )
        ),
    ),
    "BLOOM": Family(
        "bloom",
        lambda: hf.BloomForCausalLM(
            hf.BloomConfig(hidden_size=64, n_layer=2, n_head=_HEADS, **_OLDER)
        ),
        change=_bloom,
    ),
    "Nemotron": Family(
        "nemotron",
        lambda: hf.NemotronForCausalLM(hf.NemotronConfig(**_SIZES, head_dim=_HEAD)),
        change=_one_added,
    ),
    "Qwen2-MoE": Family(
        "qwen2moe",
        lambda: hf.Qwen2MoeForCausalLM(
            hf.Qwen2MoeConfig(
                **{**_EXPERTS, "norm_topk_prob": False}, shared_expert_intermediate_size=96
            )
        ),
        {
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_feed_forward_length": 32,
            "expert_shared_feed_forward_length": 96,
        },
        lambda name, values: values.squeeze(0) if "gate_inp_shexp" in name else values,
    ),
    "Qwen3-MoE": Family(
        "qwen3moe",
        lambda: hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(**_EXPERTS, head_dim=_HEAD)),
        {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32},
    ),
    "Mixtral": Family(
        "llama",
        lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**_SIZES, num_local_experts=4)),
        {"expert_count": 4, "expert_used_count": 2},
        _permuted,
    ),
    "LFM2": Family(
        "lfm2",
        lambda: hf.Lfm2ForCausalLM(
            hf.Lfm2Config(
                **{**_SIZES, "tie_word_embeddings": True},
                layer_types=["conv", "full_attention"],
                block_auto_adjust_ff_dim=False,
            )
        ),
        {"shortconv.l_cache": 3, "attention.head_count_kv": [0, 2]},
        lambda name, values: values.squeeze(1) if "shortconv.conv" in name else values,
    ),
    "Mamba": Family(
        "mamba",
        lambda: hf.MambaForCausalLM(
            hf.MambaConfig(
                **_OLDER, hidden_size=64, num_hidden_layers=2, state_size=4, time_step_rank=4
            )
        ),
        {
            "context_length": 64,
            "feed_forward_length": 0,
            "attention.head_count": 0,
            "ssm.conv_kernel": 4,
            "ssm.state_size": 4,
            "ssm.time_step_rank": 4,
            "ssm.inner_size": 128,
        },
        _mamba,
    ),
    "Gemma": Family(
        "gemma",
        lambda: hf.GemmaForCausalLM(
            hf.GemmaConfig(**{**_SIZES, "tie_word_embeddings": True}, head_dim=_HEAD)
        ),
        change=_one_added,
    ),
}
"""By the name that users know."""


def make(family: str) -> Any:
    """In evaluation mode, the same one every time; with attention that positions matter to, and
    random norms and biases."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = FAMILIES[family].make().eval()
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                else:
                    parameter.mul_(4)
    return module


def write(
    module: Any,
    family: str,
    path: Path,
    kind: str = "F32",
    *,
    facts: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Array] | None = None,
) -> Path:
    """`kind` is that of the matrices of the layers: F32, F16, Q8_0, Q4_0, ...

    `facts` come beside those of the family, or instead of them; `tensors` beside those of the
    module.
    """
    import gguf

    how = FAMILIES[family]
    writer = gguf.GGUFWriter(path, how.architecture)
    writer.add_name(family)
    for key, value in {**_facts(module.config), **how.facts, **(facts or {})}.items():
        key = f"{how.architecture}.{key}"
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)
    _add_tokenizer(writer)
    for name, values in {**dict(_tensors(module, how)), **(tensors or {})}.items():
        of_layer = values.ndim > 1 and name.startswith("blk.") and "conv" not in name
        wanted = gguf.GGMLQuantizationType[kind if of_layer else "F32"]
        stored = gguf.quantize(values, wanted)
        writer.add_tensor(name, stored, raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rounded(module: Any, family: str, kind: str) -> Any:
    """The module with the weights that a file of this kind holds."""
    import gguf

    wanted = gguf.GGMLQuantizationType[kind]
    how = FAMILIES[family]
    assert how.change is FAMILIES["Qwen2"].change  # rounds by rows, which others reorder
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 2 and ".layers." in name:
                stored = gguf.quantize(parameter.numpy(), wanted)
                parameter.copy_(torch.tensor(gguf.dequantize(stored, wanted)))
    return module


def _facts(config: Any) -> dict[str, Any]:
    def first(*names: str) -> Any:
        return next((v for n in names if (v := getattr(config, n, None)) is not None), None)

    hidden = first("hidden_size", "n_embd")
    heads = first("num_attention_heads", "n_head") or 1
    rotary = getattr(config, "rope_parameters", None) or {}
    rotary = rotary.get("full_attention", rotary)
    head = first("head_dim") or hidden // heads
    found = {
        "vocab_size": config.vocab_size,
        "context_length": first("max_position_embeddings", "n_positions"),
        "block_count": first("num_hidden_layers", "n_layer"),
        "embedding_length": hidden,
        "feed_forward_length": first("intermediate_size", "ffn_hidden_size", "n_inner")
        or 4 * hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": first("num_key_value_heads")
        or (1 if getattr(config, "multi_query", False) else heads),
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": first("rms_norm_eps", "norm_eps"),
        "attention.layer_norm_epsilon": first(
            "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"
        ),
        "rope.freq_base": rotary.get("rope_theta"),
        "rope.dimension_count": int(head * rotary.get("partial_rotary_factor", 1)) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _tensors(module: Any, how: Family) -> Iterator[tuple[str, Array]]:
    import gguf

    kind = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == how.architecture)
    layers = getattr(module.config, "num_hidden_layers", None) or module.config.n_layer
    names = gguf.get_tensor_name_map(kind, layers)
    for name, parameter in module.named_parameters():  # tied ones once
        values = parameter.detach().float().numpy()
        if name.endswith("experts.gate_up_proj"):
            block = f"blk.{name.split('.')[2]}"
            gate, up = np.split(values, 2, axis=1)
            yield f"{block}.ffn_gate_exps.weight", np.ascontiguousarray(gate)
            yield f"{block}.ffn_up_exps.weight", np.ascontiguousarray(up)
        elif name.endswith("experts.down_proj"):
            yield f"blk.{name.split('.')[2]}.ffn_down_exps.weight", values
        else:
            base, _, suffix = name.rpartition(".")
            stored = names.get_name(base) or names.get_name(base.removeprefix("transformer."))
            if stored is None:  # a parameter with a name of its own
                stored, suffix = names.get_name(name), ""
            assert stored is not None, name
            full = f"{stored}.{suffix}" if suffix else stored
            changed = how.change(full, values)
            if changed.size:
                yield full, changed


def _add_tokenizer(writer: Any) -> None:
    """Byte-level, a token a character, as that of GPT-2."""
    characters = [chr(code) for code in range(ord("!"), ord("!") + WORDS - 5)]
    tokens = ["<s>", "</s>", "<pad>", *characters, "!!", "Ġ"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (WORDS - 3))
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(2)
