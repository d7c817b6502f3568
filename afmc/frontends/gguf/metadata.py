"""What a .gguf file says of a model that transformers does not take from it, or takes wrongly.

transformers reads a file's sizes and leaves the rest of its configuration at defaults, which are
those of one model of the family; tensors that it has no name for it leaves out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from afmc.errors import ModelError

_SAID = {
    "context_length": ("max_position_embeddings",),
    "attention.key_length": ("head_dim",),
    "attention.sliding_window": ("sliding_window",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps", "layer_norm_epsilon"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
}
"""Key -> attributes of configurations, of which a model has at most one."""

_EXPERTS = ("num_experts", "num_local_experts")
_FACTORS = "rope_freqs.weight"  # by which the frequencies of rotary positions are divided
_LLAMA_3 = {
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
_LARGE_GEMMAS = (46, 62)  # layers of the two with 27 billion weights, of generations 2 and 3


class File:
    """The metadata and the names and sizes of the tensors of a .gguf file."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self.path = path
        self._reader = GGUFReader(path)
        self.architecture = str(self._reader.fields["general.architecture"].contents())
        self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    def says(self, key: str) -> Any:
        """None for what it does not say."""
        field = self._reader.fields.get(f"{self.architecture}.{key}")
        return None if field is None else field.contents()


def complete(config: Any, file: File) -> None:
    """Puts into a configuration what the file says. Raises ModelError for what cannot be put."""
    for key, names in _SAID.items():
        value = file.says(key)
        name = next((name for name in names if hasattr(config, name)), None)
        if value is not None and name is not None and getattr(config, name) != value:
            setattr(config, name, value)
    if (file.says("expert_count") or 0) and not any(hasattr(config, name) for name in _EXPERTS):
        raise ModelError(
            f"{file.path} holds a mixture of {file.says('expert_count')} experts as the "
            f"architecture {file.architecture}, which transformers takes for a model without any: "
            f"give its Hugging Face folder or id."
        )
    if hasattr(config, "query_pre_attn_scalar"):
        large = config.num_hidden_layers in _LARGE_GEMMAS
        head = config.hidden_size // config.num_attention_heads if large else config.head_dim
        config.query_pre_attn_scalar = head
    _complete_rotary(config, file)


def _complete_rotary(config: Any, file: File) -> None:
    rotary = getattr(config, "rope_parameters", None)
    rotary = (rotary or {}).get("full_attention", rotary)
    scaling = file.says("rope.scaling.type") or "none"
    if scaling not in ("none", "linear") or any("rope_factors" in name for name in file.tensors):
        how = "factors by frequency" if scaling in ("none", "linear") else scaling
        raise ModelError(
            f"{file.path} scales rotary positions by {how}, which is not read from GGUF: give its "
            f"Hugging Face folder or id."
        )
    if rotary is None:
        return
    if (base := file.says("rope.freq_base")) is not None:
        rotary["rope_theta"] = base
    dimensions = file.says("rope.dimension_count")
    if dimensions is not None:
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        if dimensions != head or "partial_rotary_factor" in rotary:
            rotary["partial_rotary_factor"] = dimensions / head
    if scaling == "linear":
        rotary |= {"rope_type": "linear", "factor": file.says("rope.scaling.factor")}
    if _FACTORS in file.tensors:
        rotary |= _of_llama_3(config, rotary, file)


def _of_llama_3(config: Any, rotary: dict[str, Any], file: File) -> dict[str, Any]:
    """The rule by which Llama 3.1 and its successors stretch positions, found in its factors."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stored = torch.tensor(file.tensors[_FACTORS].data, dtype=torch.float64).flatten()
    found = {"rope_type": "llama3", "factor": float(stored.max()), **_LLAMA_3}
    before = config.rope_parameters
    frequencies = []
    for said in ({"factor": 1.0}, {}):
        config.rope_parameters = {**rotary, **found, **said}
        frequencies.append(ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))[0].double())
    config.rope_parameters = before
    plain, stretched = frequencies
    same = len(stored) == len(plain) and torch.allclose(plain / stretched, stored, rtol=1e-4)
    if not same:
        raise ModelError(
            f"{file.path} scales rotary positions by factors ({_FACTORS}) that are not those of "
            f"Llama 3: give its Hugging Face folder or id."
        )
    return found


def check_whole(module: nn.Module, missing: set[str], file: File) -> None:
    """Raises ModelError where the module has weights that the file has not, or the other way."""
    if missing:
        raise ModelError(
            f"{file.path} lacks {min(missing)}, which {type(module).__name__} needs"
            + (f", and {len(missing) - 1} more weights." if len(missing) > 1 else ".")
        )
    held = {tensor.data_ptr(): tensor.numel() for tensor in module.state_dict().values()}
    config: Any = module.config
    tied = {_FACTORS, *(("output.weight",) if config.tie_word_embeddings else ())}
    stored = sum(int(t.n_elements) for name, t in file.tensors.items() if name not in tied)
    if stored != sum(held.values()):
        raise ModelError(
            f"{file.path} holds {stored:,} weights, but {type(module).__name__}, as which "
            f"transformers reads it, has {sum(held.values()):,}: give its Hugging Face folder or "
            f"id."
        )
