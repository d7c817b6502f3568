"""How far back the attention of each layer looks, from a model's configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from afmc.program.model import Work


def with_sliding_windows(work: Iterable[Work], module: nn.Module) -> tuple[Work, ...]:
    """The work, attention with the number of positions that it looks at, where these are limited.

    As the models of transformers have it: a layer's attention knows its number, and the
    configuration which layers slide (`layer_types`), or that all do.
    """
    return tuple(_with_window(work, module))


def _with_window(work: Iterable[Work], module: nn.Module) -> Iterator[Work]:
    modules = dict(module.named_modules())
    for each in work:
        layer = None
        if each.kind in ("attention", "softmax"):
            layer = _layer_of(each.after, modules)
        window = None if layer is None else _window(getattr(module, "config", None), layer)
        yield each if window is None else replace(each, window=window)


def _layer_of(parameter: str, modules: dict[str, nn.Module]) -> int | None:
    """The number of the layer that a matrix of its attention belongs to."""
    path = parameter
    while path:
        path = path.rpartition(".")[0]
        number = getattr(modules.get(path), "layer_idx", None)
        if isinstance(number, int):
            return number
    return None


def _window(config: Any, layer: int) -> int | None:
    config = getattr(config, "text_config", config)
    types = getattr(config, "layer_types", None)
    kind = types[layer] if types else "sliding_attention"
    if kind == "chunked_attention":
        size = getattr(config, "attention_chunk_size", None)
    elif kind == "sliding_attention" and getattr(config, "use_sliding_window", True):
        size = getattr(config, "sliding_window", None)
    else:
        size = None
    return size if isinstance(size, int) and size > 0 else None
