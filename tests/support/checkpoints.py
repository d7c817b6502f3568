"""Checkpoints of any size, written a shard at a time: random weights in bfloat16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig

from afmc.frontends.quiet import quiet


def write_checkpoint(
    config: PretrainedConfig,
    folder: Path,
    *,
    seed: int = 0,
    shard_bytes: int = 2**31,
    input_range: float | None = None,
) -> int:
    """A sharded Hugging Face folder of the model that a configuration describes, and the number of
    its parameters.

    Weights are normal with the standard deviation that the configuration begins with, cut from one
    pool of numbers at a place of their own. With an input range it stands beside the weight of each
    linear layer, as in an analog foundation model.
    """
    with quiet(), torch.device("meta"):
        module: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    largest = max(shape.numel() for shape in shapes.values())
    generator = torch.Generator().manual_seed(seed)
    pool = torch.empty(largest + 4099 * len(shapes), dtype=torch.bfloat16)
    pool.normal_(std=config.initializer_range, generator=generator)
    folder.mkdir(parents=True)
    weight_map: dict[str, str] = {}
    shard: dict[str, Tensor] = {}
    held = 0

    def flush() -> None:
        name = f"model-{len(set(weight_map.values())) + 1:05}.safetensors"
        weight_map.update(dict.fromkeys(shard, name))
        save_file(shard, folder / name, metadata={"format": "pt"})
        shard.clear()

    for number, (name, shape) in enumerate(shapes.items()):
        size = 2 * shape.numel()
        if shard and held + size > shard_bytes:
            flush()
            held = 0
        start = 4099 * number
        norm = len(shape) == 1
        values = pool[start : start + shape.numel()].view(shape).clone()
        layer = name.removesuffix(".weight")
        if input_range is not None and isinstance(module.get_submodule(layer), torch.nn.Linear):
            shard[f"{layer}.input_range"] = torch.tensor([input_range])
        shard[name] = torch.ones(shape, dtype=torch.bfloat16) if norm else values
        held += size
    flush()
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config.architectures = [type(module).__name__]
    config.save_pretrained(folder)
    return sum(shape.numel() for shape in shapes.values())
