"""The configuration of a Hugging Face model, and the class that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import read_json
from afmc.frontends.loaded import cause_of
from afmc.frontends.quiet import quiet

_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers",
           "decoder_layers")  # fmt: skip
_MOST_LAYERS = 10_000
_WRAPPED = "AnalogWrapper"  # what AIHWKIT-Lightning puts before the name of a class


def name_of_class(module: torch.nn.Module) -> str:
    """Without what AIHWKIT-Lightning puts before it."""
    return type(module).__name__.removeprefix(_WRAPPED)


def read_config(file: Path, trust_remote_code: bool) -> Any:
    """A transformers configuration. Raises ModelError, in one sentence."""
    raw = read_json(file)
    _check_layers(raw, file)
    alone = file.name != "config.json"
    place = file if alone else file.parent
    try:
        with quiet():
            return AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises nearly every type
        if "auto_map" in raw and alone:
            raise ModelError(
                f"{file} brings its own code (auto_map), which is looked for beside a config.json:"
                " give the folder that holds both."
            ) from error
        if "auto_map" in raw and not trust_remote_code:
            raise ModelError(
                f"{place} brings its own code (auto_map in config.json): pass"
                " --trust-remote-code (trust_remote_code=True) if you trust it."
            ) from error
        raise ModelError(
            f"{file} is not understood by transformers"
            f" {transformers.__version__} ({cause_of(error)})."
        ) from error


def _check_layers(raw: dict[str, Any], file: Path) -> None:
    """Raises ModelError for more layers than are ever built, also in a part of a configuration."""
    for key, value in raw.items():
        if isinstance(value, dict):
            _check_layers(value, file)
        elif key in _LAYERS and type(value) is int and value > _MOST_LAYERS:
            number = f"{value:,}" if value < 10**30 else "a number of many digits"
            raise ModelError(
                f"{file} says {key} {number}, and at most {_MOST_LAYERS:,} layers are read."
            )


def class_of(config: Any, trust_remote_code: bool) -> Any:
    """The class that the checkpoint was saved from, else the nearest automatic one."""
    causal = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if trust_remote_code and causal:
        return AutoModelForCausalLM
    for name in (getattr(config, "architectures", None) or [])[:1]:
        found = getattr(transformers, str(name).removeprefix(_WRAPPED), None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    if type(config) in AutoModelForCausalLM._model_mapping:
        return AutoModelForCausalLM
    return AutoModel
