"""JSON that says one thing: no name twice, no NaN, nothing too deep or too long to be meant."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 30
_DEEPEST = 64
_DIGITS = 40
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def read_object(file: Path, largest: int = LARGEST_FILE) -> dict[str, Any]:
    """The object in a file. Raises OSError, or ValueError in a few words, for anything else."""
    if not file.is_file():
        raise ValueError("it is no file" if file.exists() else "it is not there")
    size = file.stat().st_size
    if size > largest:
        raise ValueError(f"it has {size:,} bytes, and at most {largest:,} are read")
    value = parse(file.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def parse(text: bytes) -> Any:
    """Raises ValueError, in a few words, for what is not strictly JSON in UTF-8."""
    _check_depth(text)
    return json.loads(
        text.decode("utf-8"),
        parse_constant=_refuse,
        parse_int=_whole,
        parse_float=_number,
        object_pairs_hook=_once_each,
    )


def _check_depth(text: bytes) -> None:
    """Before it is parsed, because the parser recurses."""
    depth = 0
    for found in _BRACKETS.finditer(text):
        first = found[0][:1]
        if first in b"[{":
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"it is more than {_DEEPEST} levels deep")
        elif first in b"]}":
            depth -= 1


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits is in it")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:_DIGITS]} in it is larger than any number here")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} in it is not a number")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(
            name for name, count in Counter(name for name, _ in pairs).items() if count > 1
        )
        raise ValueError(f"the name {twice[:80]!r} is in it twice")
    for name in found:
        _check_text(name)
    for value in found.values():
        if isinstance(value, str):
            _check_text(value)
    return found


def _check_text(text: str) -> None:
    """Half of a pair of surrogates is in no file that afmc writes, and cannot be printed."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("half a character (a lone surrogate) is in it") from error
