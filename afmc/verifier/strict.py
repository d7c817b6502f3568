"""JSON and archives of arrays that say one thing only, and are as large as they say."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_DIGITS = 30
"""Most digits of a whole number; nothing that is counted has more."""
_HEADER = 10_000
"""Bytes of an array's header that numpy parses."""


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError or RecursionError for what is not strictly JSON."""
    decoded = text if isinstance(text, str) else text.decode("utf-8")
    return json.loads(
        decoded,
        parse_constant=_refuse,
        parse_int=_whole,
        parse_float=_finite,
        object_pairs_hook=_once_each,
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a whole number has {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:_DIGITS]} is beyond all numbers that are counted with")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, count in times.items() if count > 1)
        raise ValueError(f"the key {twice!r} comes twice")
    return found


def archive_problem(file: Path, most: Mapping[str, int]) -> str | None:
    """What is wrong with an archive of arrays before anything of it is unpacked, if anything;
    with arrays of at most so many rows, by member.

    A clause. None as well for what is no archive, which is said when it is read. Raises what
    zipfile and numpy raise.
    """
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        times = Counter(each.filename for each in members)
        if twice := [name for name, count in times.items() if count > 1]:
            return f"it has two members {twice[0]!r}"
        total = sum(each.file_size for each in members)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if total > memory:
            return f"its arrays take {total:,} bytes, and this machine has {memory:,} of memory"
        for each in members:
            if not each.filename.endswith(".npy"):
                return f"its member {each.filename!r} is no array"
            if problem := _array_problem(archive, each, most.get(each.filename)):
                return problem
    return None


def _array_problem(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int | None
) -> str | None:
    with archive.open(member) as stream:
        major, _ = np.lib.format.read_magic(stream)
        if major == 1:
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream, _HEADER)
        elif major == 2:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream, _HEADER)
        else:
            return f"{member.filename} has a header of version {major}"
        rows = math.prod(shape)
        held, needed = member.file_size - stream.tell(), rows * dtype.itemsize
    if most is not None and rows > most:
        return f"{member.filename} has {rows:,} rows, and at most {most:,} are read"
    if dtype.hasobject or held == needed:
        return None  # objects are refused when they are read
    return f"{member.filename} has {held:,} bytes of numbers, but its shape takes {needed:,}"
