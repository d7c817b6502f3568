"""Weights that stay on disk: read from safetensors when they are wanted, a tensor at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from weakref import finalize

from accelerate.hooks import remove_hook_from_submodules
from safetensors import safe_open
from torch import Tensor, nn
from transformers import modeling_utils

from afmc.frontends.aihwkit_lightning.learned import Fit


class OnDisk(Mapping[str, Tensor]):
    """The parameters of a module on the meta device, by name, in float32.

    What was read last is kept, as far as it is together no larger than the largest tensor.

    Parameters
    ----------
    module: from ``from_pretrained`` with ``device_map={"": "disk"}``, which this takes the hooks
        from. Names and conversions of the checkpoint are as they found them.
    scratch: where they put what had to be converted; deleted with this object.
    """

    def __init__(self, module: nn.Module, scratch: Path) -> None:
        self._places = _index_of(module)
        finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        remove_hook_from_submodules(module)
        del module.hf_device_map
        self._fits: Mapping[str, Fit] = {}
        self._name_of = {
            id(parameter): name
            for name, parameter in module.named_parameters(remove_duplicate=False)
            if name in self._places
        }
        self._sizes = {
            name: parameter.numel()
            for name, parameter in module.named_parameters(remove_duplicate=False)
        }
        self._kept: dict[str, Tensor] = {}
        self._lock = Lock()

    def fit(self, fits: Mapping[str, Fit]) -> None:
        """From now on weights are what these make of them, by the path of their layer."""
        self._fits = fits

    def name_of(self, parameter: nn.Parameter) -> str:
        return self._name_of[id(parameter)]

    def __getitem__(self, name: str) -> Tensor:
        with self._lock:
            found = self._kept.pop(name, None)
            if found is None:
                self._make_room(self._sizes[name])
                found = self.stored(name).float()
            self._kept[name] = found
        return found

    def _make_room(self, size: int) -> None:
        largest = max(self._sizes.values())
        while self._kept and size + sum(self._sizes[name] for name in self._kept) > largest:
            del self._kept[next(iter(self._kept))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._name_of.values())

    def __len__(self) -> int:
        return len(self._name_of)

    @property
    def as_stored(self) -> Mapping[str, Tensor]:
        """These tensors in the types in which they are on disk, unless they have to be fitted."""
        return _AsStored(self)

    def stored(self, name: str) -> Tensor:
        """One of `as_stored`."""
        tensor = self._open(name, lambda file, key: file.get_tensor(key))
        fit = self._fits.get(name.rpartition(".")[0]) if name.endswith(".weight") else None
        return tensor if fit is None else fit(tensor)

    def bank(self, parameter: nn.Parameter) -> Sequence[Tensor]:
        """What a bank holds for each expert, which is read by itself."""
        return _Bank(self, self.name_of(parameter), len(parameter))

    def expert(self, name: str, expert: int) -> Tensor:
        """A part of a bank, in float32."""
        return self._open(name, lambda file, key: file.get_slice(key)[expert]).float()

    def _open(self, name: str, read: Callable[[Any, str], Tensor]) -> Tensor:
        place = self._places[name]
        with safe_open(place["safetensors_file"], framework="pt", backend="pread") as file:
            return read(file, place.get("weight_name", name))

    def serve(self, module: nn.Module) -> None:
        """Gives a module that shares the parameters their values whenever it is called."""
        for each in module.modules():
            held = not getattr(each, "reads_by_itself", False) and {
                key: parameter
                for key, parameter in each.named_parameters(recurse=False)
                if id(parameter) in self._name_of
            }
            if held:
                each.register_forward_pre_hook(partial(self._put, held))
                each.register_forward_hook(partial(_take_away, held), always_call=True)

    def _put(self, held: Mapping[str, nn.Parameter], module: nn.Module, _: object) -> None:
        for key, parameter in held.items():
            value = self[self.name_of(parameter)]
            module.register_parameter(key, nn.Parameter(value, requires_grad=False))

    def fill(self, module: nn.Module) -> None:
        """Reads all weights into the module to which they belong."""
        values: dict[int, nn.Parameter] = {}
        for each in list(module.modules()):
            for key, parameter in list(each.named_parameters(recurse=False)):
                if id(parameter) in self._name_of:
                    if id(parameter) not in values:
                        value = self.stored(self.name_of(parameter)).float().clone()
                        values[id(parameter)] = nn.Parameter(value, requires_grad=False)
                    each.register_parameter(key, values[id(parameter)])

    @contextmanager
    def offered(self, module: Any) -> Iterator[None]:
        """Within it, ``save_pretrained`` of the module finds the weights, as they are stored."""
        module.hf_device_map = {"": "disk"}
        module._hf_hook = SimpleNamespace(weights_map=self.as_stored)
        try:
            yield
        finally:
            del module.hf_device_map, module._hf_hook


@contextmanager
def tensor_by_tensor() -> Iterator[None]:
    """Within it, transformers reads from safetensors what it asks for, and maps no whole shard into
    memory, where all that was looked at would stay."""

    def open_shard(file: str, **options: Any) -> Any:
        return safe_open(file, **{**options, "backend": "pread"})

    with patch.object(modeling_utils, "safe_open", open_shard):
        yield


class _AsStored(Mapping[str, Tensor]):
    """Nothing of which is kept."""

    def __init__(self, weights: OnDisk) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Tensor:
        return self._weights.stored(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


class _Bank(Sequence[Tensor]):
    def __init__(self, weights: OnDisk, name: str, experts: int) -> None:
        self._weights, self._name, self._experts = weights, name, experts

    def __len__(self) -> int:
        return self._experts

    def __getitem__(self, expert: Any) -> Any:
        if not 0 <= expert < self._experts:
            raise IndexError(expert)
        return self._weights.expert(self._name, expert)


def _take_away(held: Mapping[str, nn.Parameter], module: nn.Module, *_: object) -> None:
    for key, parameter in held.items():
        module.register_parameter(key, parameter)


def _index_of(module: nn.Module) -> dict[str, dict[str, str]]:
    """File and name of each parameter, as transformers left them with accelerate's hooks."""
    for each in module.modules():
        weights = getattr(getattr(each, "_hf_hook", None), "weights_map", None)
        while weights is not None:
            if hasattr(weights, "index"):
                return dict(weights.index)
            weights = getattr(weights, "dataset", None)
    raise RuntimeError("no module has weights on disk")
