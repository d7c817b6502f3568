"""What a page carries, unpacked as its script does it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any


def data_of(page: str) -> dict[str, Any]:
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def unrun(pairs: Sequence[int]) -> list[int]:
    return [v for v, n in zip(pairs[::2], pairs[1::2], strict=True) for _ in range(n)]


def unstep(pairs: Sequence[int]) -> list[int]:
    return list(accumulate(unrun(pairs)))


def name_of(packed: Sequence[Any], kinds: Sequence[str]) -> str:
    numbers = iter(packed[1:])
    parts = kinds[packed[0]].split(".")
    return ".".join(str(next(numbers)) if part == "*" else part for part in parts)


def blocks_of(detail: Mapping[str, Any]) -> list[dict[str, int]]:
    """Every block that is described, with its chip and tile."""
    columns = {key: unstep(values) for key, values in detail["block"].items()}
    tiles, listed = iter(unstep(detail["tile"])), iter(unrun(detail["listed"]))
    found: list[dict[str, int]] = []
    for chip, amount in zip(unstep(detail["chips"]), unrun(detail["tiles"]), strict=True):
        for _ in range(amount):
            tile = next(tiles)
            for _ in range(next(listed)):
                block = {key: values[len(found)] for key, values in columns.items()}
                found.append({"chip": chip, "tile": tile, **block})
    return found
