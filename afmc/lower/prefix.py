"""A constant prefix: tokens whose keys and values stand before every sequence.

They are computed digitally, once. The first tokens of a sequence become attention sinks, whose
massive activations set the range of every converter; with a prefix these are not on the tiles.

Source: PrefixQuant (Chen et al., 2024, arXiv:2410.05265); Sun et al., Massive Activations in Large
Language Models, COLM 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache


@dataclass(frozen=True, eq=False)
class Prefix:
    """Tokens, and what every layer keeps of them."""

    tokens: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of each layer, [1, heads, tokens, width]."""

    def before(self, ids: Tensor) -> Tensor:
        """Tokens [batch, n] with those of the prefix before them, for a model whose cache holds
        these and that skips them. What tokenizers put in front ends the prefix and stands once."""
        tokens = torch.tensor(self.tokens).expand(len(ids), -1)
        again = bool((ids[:, 0] == self.tokens[-1]).all()) and ids.shape[1] > 1
        return torch.cat([tokens, ids[:, 1:] if again else ids], dim=1)

    def cache(self, config: Any, batch: int = 1) -> DynamicCache:
        """A cache for `batch` sequences that holds the prefix; models change theirs in place."""
        cache = DynamicCache(config=config)
        for number, (keys, values) in enumerate(self.layers):
            wide = (batch, *keys.shape[1:])
            cache.update(keys.expand(wide).clone(), values.expand(wide).clone(), number)
        return cache


class Kept(nn.Module):
    """Makes the cache of a prefix inside a graph, of which keys and values are buffers."""

    def __init__(self, prefix: Prefix, config: Any) -> None:
        super().__init__()
        self.__dict__["_config"] = config
        self._count = len(prefix.layers)
        for number, (keys, values) in enumerate(prefix.layers):
            self.register_buffer(f"keys{number}", keys)
            self.register_buffer(f"values{number}", values)

    def forward(self, batch: int) -> DynamicCache:
        cache = DynamicCache(config=self.__dict__["_config"])
        for number in range(self._count):
            keys, values = self.get_buffer(f"keys{number}"), self.get_buffer(f"values{number}")
            wide = (batch, *keys.shape[1:])
            cache.update(keys.expand(wide), values.expand(wide), number)
        return cache


def compute_prefix(module: Any, tokens: tuple[int, ...]) -> Prefix:
    """The prefix of a model in digital arithmetic.

    Raises ValueError where the model keeps anything but keys and values of its tokens.
    """
    cache = DynamicCache(config=module.config)
    with torch.no_grad():
        output = module(torch.tensor([tokens]), past_key_values=cache, use_cache=True)
    kept = output.past_key_values
    if type(kept) is not DynamicCache:
        raise ValueError(f"it keeps a {type(kept).__name__}, not keys and values alone")
    layers = tuple((layer.keys.clone(), layer.values.clone()) for layer in kept.layers)
    if not layers or any(keys.shape[-2] != len(tokens) for keys, _ in layers):
        raise ValueError("it does not keep the keys and values of all its tokens")
    return Prefix(tokens, layers)


def put_behind(module: nn.Module, prefix: Prefix) -> nn.Module:
    """The module itself, which from now on computes every sequence behind the prefix, unless it is
    given `past_key_values`: see `Prefix.cache`."""

    def hook(
        called: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        changed = dict(kwargs)
        if args:
            changed["input_ids"], args = args[0], args[1:]
        if changed.get("past_key_values") is None:
            batch = changed["input_ids"].shape[0]
            changed["past_key_values"] = prefix.cache(called.config, batch)
            changed["use_cache"] = True
            mask = changed.get("attention_mask")
            if mask is not None:
                ones = mask.new_ones(batch, len(prefix.tokens))
                changed["attention_mask"] = torch.cat([ones, mask], dim=1)
        return args, changed

    module.register_forward_pre_hook(hook, with_kwargs=True)
    return module
