"""Models on AIHWKIT-Lightning's layers, in memory: made plain, with what they had learned beside.

The library is not imported: its classes are known by their names, and its configuration is read as
a file of it would be.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from afmc.errors import ModelError
from afmc.frontends.aihwkit_lightning.learned import Learned, learned_of
from afmc.frontends.checkpoint.folder import INPUT_RANGE, WEIGHT_CLIP
from afmc.frontends.checkpoint.inert import read_pickle
from afmc.frontends.checkpoint.rpu_config import RPU_CONFIG, WHAT, is_known, training_of
from afmc.program.observed import Training

_PACKAGE = "aihwkit_lightning"
_LAYER, _LINEAR, _WRAPPER, _SEQUENTIAL = (
    "AnalogLayerBase", "AnalogLinear", "AnalogWrapper", "AnalogSequential",
)  # fmt: skip


def find_layers(module: nn.Module, name: str) -> dict[str, Any]:
    """The library's layers, by path. Raises ModelError for those that no checkpoint has either."""
    layers = {}
    for path, each in module.named_modules():
        if _LAYER not in _ancestors(each) or getattr(each, "IS_CONTAINER", False):
            continue
        if _PACKAGE not in type(each).__module__ or type(each).__name__ != _LINEAR:
            raise ModelError(
                f"{name} has a layer {type(each).__name__} at {path or 'its top'}: of "
                f"AIHWKIT-Lightning's layers {_LINEAR} is read; leave others out of the conversion "
                f"(exclude_modules)."
            )
        layers[path] = each
    return layers


def read_layers(layers: Mapping[str, Any], name: str) -> tuple[Learned, Training]:
    """What they know beyond their weights, and what all of them were trained for.

    Raises ModelError where that differs, or for what is not a positive number.
    """
    trained_for = set()
    for layer in layers.values():
        said = read_pickle(pickle.dumps(layer.rpu_config), name, WHAT, is_known)
        trained_for.add(training_of(said, name))
    if len(trained_for) > 1:
        raise ModelError(
            f"{name} has layers of {len(trained_for)} different configurations ({RPU_CONFIG}): "
            f"convert it with one."
        )
    ranges, limits = (_tensors(layers, last) for last in (INPUT_RANGE, WEIGHT_CLIP))
    return learned_of(ranges, limits, lambda _: name, tuple(layers)), trained_for.pop()


def make_plain(module: nn.Module, layers: Mapping[str, Any]) -> None:
    """Makes each of them the layer of torch that it stands for, and the model what it was."""
    for layer in layers.values():
        for held in (layer._parameters, layer._buffers):
            for key in held.keys() - {"weight", "bias"}:
                del held[key]
        layer.__class__ = nn.Linear
    for each in module.modules():
        plain = _unwrapped(each)
        if plain is not None:
            each.__class__ = plain


def _ancestors(module: nn.Module) -> set[str]:
    """Names of the classes of the library that it derives from."""
    return {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith(_PACKAGE)}


def _unwrapped(module: nn.Module) -> type[nn.Module] | None:
    """The class that the library put its own around; None for classes that it has not touched."""
    kind = type(module)
    plain = next((c for c in kind.__mro__ if issubclass(c, nn.Module) and not _of_library(c)), None)
    around = plain is not None and kind.__name__ == _WRAPPER + plain.__name__
    sequential = kind.__name__ == _SEQUENTIAL and plain is nn.Sequential
    return plain if around or sequential else None


def _of_library(kind: type) -> bool:
    return any(each.__module__.startswith(_PACKAGE) for each in kind.__mro__)


def _tensors(layers: Mapping[str, Any], last: str) -> dict[str, Tensor]:
    found = {path: getattr(layer, last, None) for path, layer in layers.items()}
    return {path: each.detach() for path, each in found.items() if each is not None}
