"""A model that a frontend has read, ready to be exported."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from afmc.errors import ModelError
from afmc.frontends.network import Graph
from afmc.frontends.on_disk import OnDisk
from afmc.frontends.quiet import quiet
from afmc.program.observed import Training

BYTES = 4
"""Bytes of a weight in float32."""


_SHARD = "500MB"


Log = Callable[[str], None]


_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model that is ready to be exported."""

    module: torch.nn.Module
    """In evaluation mode, float32, without gradients; where the weights stay on disk, on the meta
    device."""
    tokenizer: Any | None
    """None where the model came without one."""
    config: Any
    """The transformers configuration, or None for a module that has none."""
    name: str
    """As the user wrote it."""
    sha256: str
    """SHA-256 of the weight files, or of the tensors for a module that came in memory."""
    folder: Path | None
    """The folder it was read from; None for a module that came in memory."""
    input_ranges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Half widths of input converters' ranges that the checkpoint brought along, by module: one for
    each row slice that it was trained with."""
    training: Training | None = None
    """What hardware the checkpoint says that it was trained for."""
    graph: Graph | None = None
    """Graph of a model that is no language model of transformers."""
    on_disk: OnDisk | None = None
    """The weights, where they are not in memory."""

    def running(self, module: torch.nn.Module) -> torch.nn.Module:
        """A module that shares the parameters of this one, and can be called."""
        if self.on_disk is not None:
            self.on_disk.serve(module)
        return module

    def hollow(self) -> torch.nn.Module:
        """The module with room for all weights, none of which is used: memory that nobody writes to
        is not taken. On the meta device some operators are others.
        """
        held: dict[int, Any] = {
            id(each): torch.nn.Parameter(torch.empty_like(each, device="cpu"), requires_grad=False)
            for each in self.module.parameters()
        }
        held |= {id(each): each for each in self.module.buffers()}
        return copy.deepcopy(self.module, held)

    def value(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        """What a parameter of the module holds."""
        return parameter if self.on_disk is None else self.on_disk[self.on_disk.name_of(parameter)]

    def bank(self, parameter: torch.nn.Parameter) -> torch.Tensor | Sequence[torch.Tensor]:
        """What a parameter of a bank of experts holds for each."""
        return parameter if self.on_disk is None else self.on_disk.bank(parameter)

    def in_memory(self) -> Loaded:
        """With all weights in the module."""
        if self.on_disk is not None:
            self.on_disk.fill(self.module)
        return replace(self, on_disk=None)

    def save(self, folder: Path) -> None:
        """Writes model and tokenizer so that they can be read again. Raises ModelError."""
        if self.graph is not None:
            self.graph.write(folder)
        elif self.on_disk is not None:
            with self.on_disk.offered(self.module):
                save(self.module, self.tokenizer, folder, max_shard_size=_SHARD)
        elif hasattr(self.module, "save_pretrained"):
            save(self.module, self.tokenizer, folder)
        else:
            raise ModelError(
                f"{self.name} is not a model of transformers, so it cannot be saved: compile it "
                f"with example_inputs."
            )


def check_finite(weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Raises ModelError for a weight that is no number."""
    for key in weights:
        bad, of = _not_finite(weights[key])
        if bad:
            raise ModelError(f"{name} has weights that are not finite: {bad} of {of} in {key}.")


def _not_finite(tensor: torch.Tensor) -> tuple[int, int]:
    """How many values, and of how many."""
    if not tensor.is_floating_point() or not tensor.numel():
        return 0, tensor.numel()
    if all(math.isfinite(end) for end in torch.aminmax(tensor.detach())):  # needs no memory
        return 0, tensor.numel()
    return tensor.numel() - int(torch.isfinite(tensor).sum()), tensor.numel()


def sha256_of_tensors(tensors: Iterable[tuple[str, torch.Tensor]], name: str) -> str:
    """Over names, shapes, dtypes and bytes. Raises ModelError for tensors without values."""
    digest = hashlib.sha256()
    for key, tensor in tensors:
        if tensor.is_meta:
            raise ModelError(f"{name} has tensors without values (device meta), first {key}.")
        digest.update(f"{key}\0{list(tensor.shape)}\0{tensor.dtype}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        for start in range(0, len(flat), _BYTES):
            digest.update(flat[start : start + _BYTES].numpy().data)
    return digest.hexdigest()


def cause_of(error: BaseException) -> str:
    """What transformers says is wrong: the first line, or the one below its heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return re.sub(r"^\w+Error: ", "", lines[1]).rstrip(".")
    return first_line(error)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def save(module: Any, tokenizer: Any | None, folder: Path, **options: Any) -> None:
    """A Hugging Face folder that `load` reads: configuration, safetensors, tokenizer.

    Weights are written in the narrowest type that holds every one of them: that of the checkpoint.
    """
    dtype = narrowest(module.state_dict().values())
    if dtype is not torch.float32:
        options["state_dict"] = _in(module.state_dict(), dtype)
    with quiet():
        module.save_pretrained(folder, **options)
        if dtype is not torch.float32:
            _say_type(folder / "config.json", dtype)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def narrowest(tensors: Iterable[torch.Tensor]) -> torch.dtype:
    """bfloat16 or float16 where these floating-point values are exact in it, else float32."""
    possible = [torch.bfloat16, torch.float16]
    for tensor in tensors:
        if tensor.is_meta:
            return torch.float32
        if tensor.is_floating_point():
            possible = [each for each in possible if torch.equal(tensor.to(each).float(), tensor)]
        if not possible:
            return torch.float32
    return possible[0]


def _in(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Floating-point tensors in another type; those that share memory still do."""
    cast: dict[tuple[int, torch.Size], torch.Tensor] = {}
    found = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in cast:
            cast[key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        found[name] = cast[key]
    return found


def _say_type(file: Path, dtype: torch.dtype) -> None:
    """Puts the type of the weights into a configuration, which save_pretrained calls float32."""
    config = json.loads(file.read_text(encoding="utf-8"))
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    config[key] = str(dtype).removeprefix("torch.")
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_WINDOW = 1024
"""Tokens of a window that nobody chose, if the model takes so many."""


def longest_window(config: Any) -> int:
    return min(_WINDOW, positions_of(config) or _WINDOW)


def positions_of(config: Any) -> int | None:
    """Tokens that a model takes at most, where it says so."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = getattr(text, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None
