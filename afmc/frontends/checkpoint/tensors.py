"""The tensors in weight files, as views of the files."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from afmc.errors import ModelError
from afmc.frontends.checkpoint.archive import Storage, read_archive
from afmc.frontends.checkpoint.folder import PICKLED, Header
from afmc.frontends.checkpoint.inert import shown
from afmc.frontends.checkpoint.rpu_config import is_known

_CHUNK = 1 << 24


def read_bin(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.bin`` file; reading one reads the file, and writing to it does not write.

    Every byte is held against its checksum. Raises ModelError.
    """
    tensors = read_archive(file, is_known).tensors
    try:
        with file.open("rb") as opened:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read ({error}).") from error
    held: dict[Storage, Tensor] = {}
    found = {}
    for name, stored in tensors.items():
        storage = stored.storage
        if storage not in held:
            held[storage] = _numbers(storage, content, file, name)
        found[name] = held[storage].as_strided(stored.shape, stored.stride, stored.offset)
    return found


def _numbers(storage: Storage, content: mmap.mmap, file: Path, name: str) -> Tensor:
    dtype = getattr(torch, storage.dtype)
    if not storage.count:
        return torch.empty(0, dtype=dtype)
    entry, checksum = storage.held, 0
    with memoryview(content) as view:
        for start in range(entry.first, entry.first + entry.size, _CHUNK):
            end = min(start + _CHUNK, entry.first + entry.size)
            checksum = zlib.crc32(view[start:end], checksum)
    if checksum != entry.crc:
        raise ModelError(f"{file} is damaged: the numbers of {shown(name)} have a wrong checksum.")
    if entry.first % dtype.itemsize:  # torch.save aligns them, other writers of archives need not
        return torch.frombuffer(
            bytearray(content[entry.first : entry.first + entry.size]), dtype=dtype
        )
    return torch.frombuffer(content, dtype=dtype, count=storage.count, offset=entry.first)


def read_named(
    headers: Mapping[str, Header], pickled: Mapping[str, Tensor], last: str
) -> dict[str, Tensor]:
    """Tensors with this last part of their name, by the part before it.

    `pickled` are those that `read_bin` has read; the others are safetensors.
    """
    wanted = {name: header for name, header in headers.items() if name.endswith(f".{last}")}
    found = {}
    for file in dict.fromkeys(header.file for header in wanted.values()):
        mine = [name for name, header in wanted.items() if header.file == file]
        if file.suffix == PICKLED.suffix:
            found.update({name: pickled[name] for name in mine})
        else:
            with safe_open(file, framework="pt") as opened:
                found.update({name: opened.get_tensor(name) for name in mine})
    return {name.removesuffix(f".{last}"): tensor for name, tensor in found.items()}
