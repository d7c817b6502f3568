"""Archives of plain arrays (``.npz``) that say one thing, and no more than memory can hold.

Every member's size is known from the archive's directory and from the array's own header before
anything is unpacked; what is unpacked must be exactly as long.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.memory import available_bytes
from afmc.common.shown import shown

_ENDING = ".npy"
_HEADER = 1 << 16
"""Bytes of a header at most; numpy refuses to parse longer ones anyway."""
_MEMBERS = 100_000
NO_LIMIT: Mapping[str, int] = {}


class NotArrays(ValueError):
    """No archive of plain arrays. Its text is a clause without a full stop."""


def read_arrays(
    file: Path, names: Iterable[str] | None = None, most: Mapping[str, int] = NO_LIMIT
) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, all of them unless names are given; some of at most so many
    numbers or rows.

    Raises OSError where the file cannot be read, and NotArrays for anything else.
    """
    if not file.is_file():
        raise NotArrays("it is no file" if file.exists() else "it is not there")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive)
            wanted = list(members) if names is None else list(names)
            for name in wanted:
                if name not in members:
                    raise NotArrays(f"it has no array {shown(name)}")
            size = sum(members[name].file_size for name in wanted)
            if size > (free := available_bytes()):
                raise NotArrays(f"its arrays take {size:,} bytes, and {free:,} of memory are free")
            return {name: _read(archive, members[name], most.get(name)) for name in wanted}
    except NotArrays:
        raise
    except (
        zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, EOFError, RuntimeError,
        LookupError, ValueError, TypeError, SyntaxError, OverflowError,
    ) as error:  # fmt: skip
        raise NotArrays(_reason(error)) from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    if len(found) > _MEMBERS:
        raise NotArrays(f"it has {len(found):,} members, and at most {_MEMBERS:,} are read")
    names = Counter(each.filename for each in found)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise NotArrays(f"the name {shown(twice)} is in it twice")
    for each in found:
        if not each.filename.endswith(_ENDING):
            raise NotArrays(f"{shown(each.filename)} in it is no array")
        if each.flag_bits & 1:
            raise NotArrays(f"{shown(each.filename)} in it is encrypted")
        if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotArrays(f"{shown(each.filename)} in it is compressed in an unknown way")
    return {each.filename.removesuffix(_ENDING): each for each in found}


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int | None) -> NDArray[Any]:
    """An array of exactly as many bytes as its header says."""
    name = shown(member.filename.removesuffix(_ENDING))
    with archive.open(member) as stream:
        shape, fortran, dtype, header = _header(stream, name)
        if most is not None and (rows := math.prod(shape)) > most:
            raise NotArrays(f"{name} in it has {rows:,} rows, and at most {most:,} are read")
        size = math.prod(shape) * dtype.itemsize
        if header + size != member.file_size:
            raise NotArrays(
                f"{name} in it has {member.file_size - header:,} bytes of numbers, and its shape "
                f"takes {size:,}"
            )
        content = bytearray(size)
        view, filled = memoryview(content), 0
        while filled < size:
            part = stream.read(min(size - filled, 1 << 24))
            if not part:
                raise NotArrays(f"{name} in it is cut short")
            view[filled : filled + len(part)] = part
            filled += len(part)
        if stream.read(1):  # which also compares the checksum
            raise NotArrays(f"{name} in it is longer than it says")
    array = np.frombuffer(content, dtype) if size else np.zeros(0, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type, and bytes up to the numbers."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise NotArrays(f"{name} in it has a header of version {version[0]}.{version[1]}")
    shape, fortran, dtype = read(stream, max_header_size=_HEADER)
    if dtype.hasobject:
        raise NotArrays(f"{name} in it holds objects, which are not read")
    if any(type(each) is not int or each < 0 for each in shape):
        raise NotArrays(f"{name} in it has an impossible shape")
    return shape, fortran, dtype, stream.tell()


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return shown(text) or type(error).__name__
