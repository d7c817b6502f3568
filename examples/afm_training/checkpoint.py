"""Models on disk: Hugging Face folders in half precision."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


def save_model(
    model: Any, like: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Configuration, tokenizer and model.safetensors; of an analog model the ranges besides.

    `like` is the model whose configuration it has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = like.config.to_dict() | {"dtype": "float16", "architectures": ["LlamaForCausalLM"]}
    type(like.config).from_dict(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tensors = {name: value.half().clone() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def save_rpu_config(config: Any, folder: Path) -> None:
    """The file that AIHWKIT-Lightning's own scripts expect: names of its classes, and figures."""
    (folder / "rpu_config").write_bytes(pickle.dumps(config, protocol=2))
