"""Benchmarks on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.common.tables import Listing
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.benchmarks.table import table_of

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: Benchmarks) -> RenderableType:
    from rich.console import Group

    table = table_of(result)
    listings = [
        Listing(f"{table.title}; {condition}", table.headings, rows, left=("metric",), names=True)
        for condition, rows in table.conditions
    ]
    return Group(*listings, table.about + "".join(f"\nNote: {note}." for note in table.notes))
