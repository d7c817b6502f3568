"""Under which names the model's safetensors files hold what the digital part reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from transformers.core_model_loading import revert_weight_conversion

from afmc.frontends.quiet import quiet


def stored_names(module: nn.Module, graph: ExportedProgram) -> dict[str, str]:
    """By name in the graph. Left out is what transformers takes to pieces when it saves, and
    everything of a model that is not one of transformers.

    Of names that share a tensor the first is stored.
    """
    if isinstance(module, GraphModule) or not hasattr(module, "save_pretrained"):
        return {}
    tensors: dict[str, Tensor] = {}
    tensors |= dict(module.named_parameters(remove_duplicate=False))
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        first.setdefault(id(tensor), name)
    read = {name: first[id(tensors[name])] for name in graph.state_dict if name in tensors}
    return {
        name: stored for name, own in read.items() if (stored := _saved_as(module, own, tensors))
    }


def stored_tensors(module: nn.Module, graph: ExportedProgram) -> dict[str, Tensor]:
    """By stored name."""
    names = stored_names(module, graph)
    return {stored: graph.state_dict[name].detach() for name, stored in names.items()}


def _saved_as(module: nn.Module, name: str, tensors: dict[str, Tensor]) -> str | None:
    tensor = tensors[name].detach()
    with quiet(), torch.no_grad():
        saved = dict(revert_weight_conversion(module, {name: tensor}))
    whole = [key for key, each in saved.items() if each.data_ptr() == tensor.data_ptr()]
    return whole[0] if len(saved) == len(whole) == 1 else None
