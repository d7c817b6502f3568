"""A comparison for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from afmc.common.tables import Listing
from afmc.compare import words
from afmc.compare.comparison import Comparison
from afmc.compare.rows import Row
from afmc.compare.words import DIFFERS

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(found: Comparison) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    tables: tuple[tuple[str, Sequence[Row], Callable[[Row], tuple[str, Sequence[str]]]], ...] = (
        (f"compiles; {DIFFERS}: differs", found.figures, words.figure),
        ("costs", found.costs, words.cost),
        ("perplexity and benchmarks, measured in simulation", found.accuracy, words.perplexity),
        ("options that differ; -: not set", found.options, words.setting),
        ("figures of the target that differ; -: not set", found.target, words.setting),
    )
    headings = ("", "figure", *map(str, found.directories))
    parts: list[RenderableType] = [Text(sentence) for sentence in words.sentences(found)]
    for title, rows, in_words in tables:
        if rows:
            cells = [(DIFFERS if row.differs else "", *_flat(in_words(row))) for row in rows]
            parts.append(Listing(title, headings, cells, left=headings))
    return Group(*parts)


def _flat(row: tuple[str, Sequence[str]]) -> tuple[str, ...]:
    label, values = row
    return (label, *values)
