"""A module that the user already has in memory."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

import torch

from afmc.errors import ModelError
from afmc.frontends.aihwkit_lightning.analog_layers import find_layers, make_plain, read_layers
from afmc.frontends.aihwkit_lightning.learned import Learned, fit, fits
from afmc.frontends.checkpoint.rpu_config import RPU_CONFIG
from afmc.frontends.huggingface.config import name_of_class
from afmc.frontends.loaded import Loaded, Log, check_finite, first_line, sha256_of_tensors

_logger = logging.getLogger(__name__)


def from_module(
    module: torch.nn.Module,
    tokenizer: Any | None = None,
    name: str | None = None,
    log: Log = _logger.info,
) -> Loaded:
    """A module that the user already has, perhaps on AIHWKIT-Lightning's layers.

    The module itself is not changed: the result holds a copy in evaluation mode whose float32
    tensors share memory with the original, so do not train the original on while it is in use.
    Raises ModelError where it cannot be copied, or has tensors without values.
    """
    config = getattr(module, "config", None)
    if name is None:
        name = getattr(config, "name_or_path", None) or name_of_class(module)
    tensors = {id(tensor): _frozen(tensor) for _, tensor in _tensors(module)}
    try:
        taken = copy.deepcopy(module, tensors)
    except Exception as error:  # a module may hold anything
        raise ModelError(f"{name} cannot be copied ({first_line(error)}).") from error
    held = list(_tensors(module))
    layers = find_layers(taken, name)
    learned, trained_for = read_layers(layers, name) if layers else (Learned(), None)
    make_plain(taken, layers)
    if trained_for is not None:
        said = bytearray(repr(trained_for).encode())
        held.append((RPU_CONFIG, torch.frombuffer(said, dtype=torch.uint8)))
    sha256 = sha256_of_tensors(held, name)
    taken = taken.float().eval()
    check_finite(dict(taken.named_parameters()), name)
    if not layers:
        return Loaded(taken, tokenizer, config, name, sha256, None)
    config = getattr(taken, "config", None)
    tied = getattr(taken, "_tied_weights_keys", None) or ()
    parameters = dict(taken.named_parameters())
    if config is not None and all(key in parameters for key in tied):
        config.tie_word_embeddings = False
    fit(taken, fits(taken, learned, trained_for, name, log), log)
    return Loaded(taken, tokenizer, config, name, sha256, None, learned.ranges, trained_for)


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _frozen(tensor: torch.Tensor) -> torch.Tensor:
    """A view of this memory without a gradient."""
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(tensor.detach(), requires_grad=False)
    return tensor.detach()
