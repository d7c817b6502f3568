"""What a page carries, unpacked as its script does it, and whether it is sound HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from itertools import accumulate
from typing import Any

EVIL = "</script><b id=evil>x</b><script>alert(1)</script>\"'&{{7*7}}\u2028"


class Tags(HTMLParser):
    """Elements that are open where they should be closed, and those with an id twice."""

    VOID = ("meta", "link", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


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
