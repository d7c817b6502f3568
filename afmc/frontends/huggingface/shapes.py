"""A model on the meta device: the shapes of its weights, without the weights."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM

from afmc.errors import ModelError
from afmc.frontends.aihwkit_lightning.analog_layers import find_layers, make_plain
from afmc.frontends.checkpoint.folder import check_config, check_model_type
from afmc.frontends.door import HUGGINGFACE, Source
from afmc.frontends.find import check_revision, sha256_of
from afmc.frontends.huggingface.config import class_of, name_of_class, read_config
from afmc.frontends.huggingface.hub import download
from afmc.frontends.loaded import Loaded, cause_of
from afmc.frontends.quiet import quiet

_SIZES = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "vocab_size",
)  # fmt: skip


def load_shapes(
    source: Source, *, trust_remote_code: bool = False, revision: str | None = None
) -> Loaded:
    """The model that a configuration describes, on the meta device; no weights are read.

    Of a hub id only config.json is downloaded. Raises ModelError, in one sentence, or OptionError
    for a revision of what is not on the hub.
    """
    check_revision(source, revision)
    file = source.path
    if file is None:
        folder = download(source.name, revision, trust_remote_code, ("config.json",))
        file = check_config(folder)
        check_model_type(file)
    config = read_config(file, trust_remote_code)
    _check_sizes(config, file)
    sha256 = sha256_of(Source(source.name, HUGGINGFACE, file))
    return Loaded(_make(config, file, trust_remote_code), None, config, source.name, sha256, None)


def shapes_of(module: torch.nn.Module, name: str | None = None) -> Loaded:
    """A module that the user already has, without its weights; it is not changed."""
    digest = hashlib.sha256()
    held: dict[int, Any] = {}
    for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{key}\0{list(tensor.shape)}\0{tensor.dtype}\0".encode())
        held[id(tensor)] = torch.empty_like(tensor, device="meta", requires_grad=False)
        if isinstance(tensor, torch.nn.Parameter):
            held[id(tensor)] = torch.nn.Parameter(held[id(tensor)], requires_grad=False)
    config = getattr(module, "config", None)
    name = name or getattr(config, "name_or_path", None) or name_of_class(module)
    try:
        taken = copy.deepcopy(module, held)
    except Exception as error:  # a module may hold anything
        raise ModelError(f"{name} cannot be copied ({cause_of(error)}).") from error
    make_plain(taken, find_layers(taken, name))
    return Loaded(taken.float().eval(), None, config, name, digest.hexdigest(), None)


def _check_sizes(config: Any, file: Path) -> None:
    for name in _SIZES:
        value = getattr(config, name, None)
        if isinstance(value, int) and value < 1:
            key = config.attribute_map.get(name, name)
            raise ModelError(f"{file} has {key} {value}: it must be at least 1.")


def _make(config: Any, file: Path, trust_remote_code: bool) -> torch.nn.Module:
    chosen = class_of(config, trust_remote_code)
    automatic = chosen in (AutoModel, AutoModelForCausalLM)
    try:
        with quiet(), torch.device("meta"):
            if automatic:
                module = chosen.from_config(
                    config, dtype=torch.float32, trust_remote_code=trust_remote_code
                )
            else:
                module = chosen._from_config(config, dtype=torch.float32)
    except Exception as error:  # a module may raise anything on sizes that it did not expect
        raise ModelError(
            f"{file} does not describe a model that {chosen.__name__} can make ({cause_of(error)})."
        ) from error
    return module.eval().requires_grad_(False)
