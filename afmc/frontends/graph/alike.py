"""Which layers of a model are alike, so that a few of them can be traced for all.

Two layers are alike when their submodules have the same classes, plain attributes, parameters and
buffers, and the configuration says the same about them. What a matrix reads may depend on the layer
before its own, so a layer stands for those that are like it and follow a layer of the same kind.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Layers:
    """A list of layers of which only some are traced."""

    path: str
    """Path of the list in the model: ``model.layers``."""
    traced: tuple[int, ...]
    """Ascending; the first layer is one, and the last of them is like the model's last. One or more
    are like another one, to see that it does stand for them."""
    like: tuple[int, ...]
    """For each layer of the model, the first one that it is like; it is traced."""

    @property
    def count(self) -> int:
        return len(self.like)

    def before(self, layer: int) -> int | None:
        """The one that is traced before a traced layer."""
        index = self.traced.index(layer)
        return self.traced[index - 1] if index else None

    def number(self, path: str) -> int | None:
        """Number of the layer that a module or parameter is in; None outside the layers."""
        found = re.match(rf"{re.escape(self.path)}\.(\d+)(?=\.|$)", path)
        return int(found[1]) if found else None

    def rename(self, text: str, numbers: Mapping[int, int]) -> str:
        """A path, or ``path:operator``, or several with commas between, in other layers.

        Raises KeyError for a layer without a number.
        """
        pattern = rf"(?:(?<=,)|^){re.escape(self.path)}\.(\d+)(?=[.:,]|$)"
        return re.sub(pattern, lambda found: f"{self.path}.{numbers[int(found[1])]}", text)


def find_layers(module: nn.Module) -> Layers | None:
    """The model's layers, where tracing some of them is enough; None where all must be traced."""
    lists = {path: list(found) for path, found in _lists(module)}
    if not lists:
        return None
    path = max(lists, key=lambda p: len(lists[p]))
    layers = lists[path]
    if [len(found) for found in lists.values()].count(len(layers)) > 1:
        return None  # two lists that run side by side, one entry of each for a layer
    held = [id(parameter) for layer in layers for parameter in layer.parameters()]
    if len(set(held)) != len(held):
        return None  # layers share weights
    said = _said(getattr(module, "config", None), len(layers))
    kinds = [
        (kind, *(entries[index] for entries in said.values()))
        for index, kind in enumerate(_kinds(layers))
    ]
    found = _choose(path, kinds)
    return found if len(found.traced) < len(layers) else None


def _choose(path: str, kinds: Sequence[Hashable]) -> Layers:
    """The first layer of every kind after every kind, the first one that is like another, and as
    many more as it takes for that.
    """
    first: dict[tuple[Hashable, Hashable], int] = {}
    traced: list[int] = []
    like = []
    again = False
    for index, kind in enumerate(kinds):
        before = kinds[index - 1] if index else None
        new = (before, kind) not in first
        if new or not again:
            again |= not new
            first.setdefault((before, kind), index)
            if index and kinds[traced[-1]] != before:
                traced.append(index - 1)
            traced.append(index)
        like.append(first[before, kind])
    if kinds[traced[-1]] != kinds[-1]:
        traced.append(len(kinds) - 1)
    return Layers(path, tuple(traced), tuple(like))


def _lists(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists of modules that are in no other list, by path, without empty ones."""
    for name, child in module.named_children():
        if not isinstance(child, nn.ModuleList):
            yield from _lists(child, f"{path}{name}.")
        elif len(child):
            yield f"{path}{name}", child


def _kinds(layers: Sequence[nn.Module]) -> list[Hashable]:
    attributes = [dict(_attributes(layer)) for layer in layers]
    # A layer that knows its own number is no different for that.
    offsets: dict[tuple[str, str], set[int | None]] = {}
    for index, plain in enumerate(attributes):
        for name, value in plain.items():
            offset = value - index if type(value) is int else None
            offsets.setdefault(name, set()).add(offset)
    numbers = {name for name, found in offsets.items() if len(found) == 1 and None not in found}
    return [
        (
            frozenset((k, None if k in numbers else repr(v)) for k, v in plain.items()),
            tuple((name, type(part)) for name, part in layer.named_modules()),
            tuple((name, tuple(p.shape), p.dtype) for name, p in layer.named_parameters()),
            tuple((name, tuple(b.shape), b.dtype) for name, b in layer.named_buffers()),
        )
        for layer, plain in zip(layers, attributes, strict=True)
    ]


def _attributes(layer: nn.Module) -> Iterator[tuple[tuple[str, str], Any]]:
    """Plain attributes of all submodules, by path and name."""
    for path, part in layer.named_modules():
        for name, value in vars(part).items():
            if not name.startswith("_") and isinstance(value, _PLAIN):
                yield (path, name), value


def _said(config: Any, count: int) -> dict[str, Sequence[Hashable]]:
    """What the configuration says of each layer, by attribute: ``layer_types`` and the like."""
    return (
        {
            name: value
            for name, value in vars(config).items()
            if isinstance(value, (list, tuple))
            and len(value) == count
            and ("layer" in name or "block" in name)
            and all(isinstance(entry, _PLAIN) for entry in value)
        }
        if config is not None
        else {}
    )


@contextmanager
def only_traced(module: nn.Module, layers: Layers) -> Iterator[None]:
    """Within it the model has its traced layers alone, under the names that they always have."""
    listed = module.get_submodule(layers.path)
    config: Any = getattr(module, "config", None)
    whole = dict(listed._modules)
    said = _said(config, layers.count)
    try:
        for index in set(range(layers.count)) - set(layers.traced):
            del listed._modules[str(index)]
        for name, entries in said.items():
            setattr(config, name, [entries[index] for index in layers.traced])
        yield
    finally:
        listed._modules.clear()
        listed._modules.update(whole)
        for name, entries in said.items():
            setattr(config, name, entries)
