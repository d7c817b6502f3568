"""Structures that were found in this process: models that are built alike are traced once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from threading import Lock
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from afmc.frontends.graph.matrices import Structure

_MOST = 32
_KNOWN: dict[Hashable, Structure] = {}
_LOCK = Lock()
_OURS = ("transformers.", "torch.nn.")
_PLAIN = (bool, int, float, str, type(None), list, tuple)


def known(key: Hashable | None) -> Structure | None:
    """The structure of a model with this key, if one was found lately."""
    with _LOCK:
        found = _KNOWN.pop(key, None)
        if found is not None:
            _KNOWN[key] = found
        return found


def remember(key: Hashable | None, structure: Structure) -> Structure:
    """Keeps a structure, unless there is no key that tells it from others."""
    if key is not None:
        with _LOCK:
            _KNOWN[key] = structure
            while len(_KNOWN) > _MOST:
                del _KNOWN[next(iter(_KNOWN))]
    return structure


def key_of(module: nn.Module) -> Hashable | None:
    """Everything that the graph of a model of transformers follows from: classes, plain attributes,
    the configuration, and shapes, types and sharing of its tensors. None for code of others, and
    where hooks or functions of its own change what a module does.
    """
    config = getattr(module, "config", None)
    if config is None or not type(module).__module__.startswith("transformers.models."):
        return None
    parts = []
    for path, each in module.named_modules(remove_duplicate=False):
        kind = type(each)
        if not f"{kind.__module__}.".startswith(_OURS) or "forward" in vars(each):
            return None
        if each._forward_hooks or each._forward_pre_hooks:
            return None
        plain = sorted((k, v) for k, v in vars(each).items() if isinstance(v, _PLAIN))
        parts.append((path, kind.__module__, kind.__qualname__, repr(plain)))
    said = {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}
    words = (repr(sorted(said.items())), str(config._attn_implementation))
    return (*words, tuple(parts), tuple(_tensors(module)))


def _tensors(module: nn.Module) -> Iterator[Hashable]:
    first: dict[int, str] = {}
    for name, each in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        same = first.setdefault(id(each), name)
        yield name, same, tuple(each.shape), str(each.dtype), each.device.type
