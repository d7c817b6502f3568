"""Checkpoints as AIHWKIT-Lightning leaves them, of a tiny llama; the library makes them itself."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from models import tiny_model, tiny_tokenizer
from torch import nn
from transformers.utils import logging

Kind = Literal["bin", "sharded", "indexed", "metadata", "safetensors"]

ROWS = 20
"""Rows of a row slice: the matrices of the tiny llama have 32 and 48 rows."""
RPU_CONFIG = "rpu_config"
BIN = "pytorch_model.bin"
FORWARD = {"forward.inp_res": 254, "forward.out_res": 254, "forward.out_bound": 14.0}


def configuration(**changes: Any) -> Any:
    """Eight-bit converters and static ranges; a key ``forward__out_res`` sets that field."""
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints that triton is missing
        from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig

    config = TorchInferenceRPUConfig()
    config.pre_post.input_range.enable = True
    for key, value in {**FORWARD, **{k.replace("__", "."): v for k, v in changes.items()}}.items():
        *parts, last = key.split(".")
        part = config
        for name in parts:
            part = getattr(part, name)
        setattr(part, last, value)
    return config


def converted(config: Any, architecture: str = "llama", limits: float = 0.7) -> nn.Module:
    """A tiny model on the library's layers, each row slice with a range of its own; `limits` are
    learned ones, as shares of the largest weights."""
    from aihwkit_lightning.nn.conversion import convert_to_analog

    with warnings.catch_warnings(action="ignore"):
        module: Any = convert_to_analog(tiny_model(architecture), config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, layer in module.named_analog_layers():
            if layer.input_range is not None:
                shape = layer.input_range.shape
                layer.input_range.copy_(1 + 3 * torch.rand(shape, generator=generator))
            if layer.learnable_weight_clip is not None:
                layer.learnable_weight_clip.mul_(limits)
            if name == "lm_head":  # it is trained apart from the embedding that it was tied to
                layer.weight.mul_(1.3)
    return module


def save(module: nn.Module, config: Any, folder: Path, kind: Kind = "bin") -> Path:
    """With a tokenizer. ``pickle.dump`` writes of a configuration what ``dill.dump`` would."""
    folder.mkdir()
    any_module: Any = module
    any_module.config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    state = module.state_dict()
    if kind == "metadata":
        torch.save(state, folder / BIN)
        return folder
    (folder / RPU_CONFIG).write_bytes(pickle.dumps(config))
    match kind:
        case "bin":
            torch.save(dict(state), folder / BIN)
        case "safetensors":
            logging.disable_progress_bar()
            any_module.save_pretrained(folder)
        case _:
            shards: dict[str, str] = {}
            for number in (0, 1):
                file = f"pytorch_model-{number + 1:05}-of-00002.bin"
                names = list(state)[number::2]
                torch.save({name: state[name] for name in names}, folder / file)
                shards |= dict.fromkeys(names, file)
            if kind == "indexed":
                index = {"metadata": {}, "weight_map": shards}
                (folder / f"{BIN}.index.json").write_text(json.dumps(index))
    return folder
