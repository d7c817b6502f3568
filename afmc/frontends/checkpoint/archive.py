"""A ``.bin`` file of ``torch.save``: which tensors are in it and where, without unpickling it.

The file is a zip archive of a pickle that describes the tensors, and of their bytes as they are in
memory, an entry for each storage.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from afmc.errors import ModelError
from afmc.frontends.checkpoint.inert import Made, Named, read_pickle, shown

# Full name of the storage's class -> name of the type of its numbers, and their bytes.
_STORAGES = {
    "torch.DoubleStorage": ("float64", 8),
    "torch.FloatStorage": ("float32", 4),
    "torch.HalfStorage": ("float16", 2),
    "torch.BFloat16Storage": ("bfloat16", 2),
    "torch.LongStorage": ("int64", 8),
    "torch.IntStorage": ("int32", 4),
    "torch.ShortStorage": ("int16", 2),
    "torch.CharStorage": ("int8", 1),
    "torch.ByteStorage": ("uint8", 1),
    "torch.BoolStorage": ("bool", 1),
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_NAMES = {*_STORAGES, _DICT, _TENSOR, _PARAMETER}
_WHAT = "a checkpoint of tensors"
_MOST, _MOST_AXES = 1 << 62, 9  # far above any tensor
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class Bytes:
    """An entry of the archive."""

    first: int
    size: int
    crc: int
    """CRC-32."""


@dataclass(frozen=True)
class Storage:
    """Numbers of one type, all that are in an entry."""

    dtype: str
    held: Bytes
    count: int


@dataclass(frozen=True)
class Stored:
    """A tensor: a view of a storage."""

    storage: Storage
    offset: int
    """Offset of its first number."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Archive:
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, Any]
    """What a module's ``state_dict`` says besides, by the module's name, as plain data."""


def read_archive(path: Path, more: Callable[[str], bool]) -> Archive:
    """The tensors of a state dict that ``torch.save`` wrote; their numbers are not read.

    `more` says which other full names may stand in the metadata. Raises ModelError.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entries = _entries(path, archive, file)
            order = entries.get("byteorder")
            if order is not None and _content(file, order) != b"little":
                raise ModelError(f"{path} is big-endian: save it on another machine.")
            if "data.pkl" not in entries:
                raise ModelError(f"{path} has no data.pkl, so it is not from torch.save.")
            pickle = _content(file, entries["data.pkl"])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ModelError(
            f"{path} is truncated, damaged or from before torch 1.6 ({str(error).rstrip('.')})."
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error

    def storage(identifier: Any) -> Storage:
        return _storage(path, identifier, entries)

    held = read_pickle(pickle, path, _WHAT, lambda name: name in _NAMES or more(name), storage)
    return Archive(dict(_tensors(path, held)), _metadata(held))


def _entries(path: Path, archive: zipfile.ZipFile, file: BinaryIO) -> dict[str, Bytes]:
    """By name below the folder that all of them are in."""
    size = path.stat().st_size
    found: dict[str, Bytes] = {}
    for info in archive.infolist():
        file.seek(info.header_offset)
        magic, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        first = info.header_offset + _LOCAL_HEADER.size + name + extra
        below = info.filename.partition("/")[2]
        if magic != b"PK\3\4" or first + info.file_size > size or below in found:
            raise ModelError(f"{path} is truncated or damaged at {shown(info.filename)}.")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ModelError(
                f"{path} is compressed at {shown(info.filename)}, which torch.save never does."
            )
        found[below] = Bytes(first, info.file_size, info.CRC)
    return found


def _content(file: BinaryIO, entry: Bytes) -> bytes:
    file.seek(entry.first)
    content = file.read(entry.size)
    if zlib.crc32(content) != entry.crc:
        raise zipfile.BadZipFile("a checksum is wrong")
    return content


def _storage(path: Path, identifier: Any, entries: Mapping[str, Bytes]) -> Storage:
    match identifier:
        case ("storage", Named(kind), str(key), str(), int(count)) if kind in _STORAGES:
            dtype, width = _STORAGES[kind]
            entry = entries.get(f"data/{key}")
            if entry is None or count < 0 or entry.size != count * width:
                raise ModelError(
                    f"{path} is damaged: it has no data/{shown(key)} with {count:,} numbers of "
                    f"{dtype}."
                )
            return Storage(dtype, entry, count)
    raise ModelError(f"{path} is damaged: its pickle refers to something that is no storage.")


def _tensors(path: Path, held: Any) -> list[tuple[str, Stored]]:
    items = held.items if isinstance(held, Made) and held.by == _DICT else held
    if not isinstance(items, dict):
        raise ModelError(f"{path} holds no dictionary of tensors: save model.state_dict().")
    return [_tensor(path, name, value) for name, value in items.items()]


def _tensor(path: Path, name: str | int, value: Any) -> tuple[str, Stored]:
    if not isinstance(name, str):
        raise ModelError(f"{path} has a tensor whose name is not a string.")
    if isinstance(value, Made) and value.by == _PARAMETER and value.arguments:
        value = value.arguments[0]
    match value:
        case Made(_, (Storage() as storage, offset, tuple() as shape, tuple() as stride, *_)):
            sizes = (offset, *shape, *stride)
            plain = all(type(size) is int and 0 <= size < _MOST for size in sizes)
            if value.by == _TENSOR and len(shape) == len(stride) < _MOST_AXES and plain:
                last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
                numbers = math.prod(shape)
                if numbers > storage.count or (numbers and last >= storage.count):
                    raise ModelError(
                        f"{path} claims {' x '.join(map(str, shape))} numbers for "
                        f"{shown(name)}, up to number {last + 1:,}, but stores {storage.count:,}."
                    )
                return name, Stored(storage, offset, shape, stride)
    raise ModelError(
        f"{path} holds {shown(name)}, which is not a tensor: save model.state_dict() alone."
    )


def _metadata(held: Any) -> dict[str, Any]:
    state = held.state if isinstance(held, Made) else None
    found = state.get("_metadata") if isinstance(state, dict) else None
    items = found.items if isinstance(found, Made) else {}
    return {str(name): value for name, value in items.items()}
