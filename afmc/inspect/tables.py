"""Tables of the terminal, all in one style."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

_UNLIMITED = 10_000  # characters, as wide as no table is


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Names on the left, sentences on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table


class Listing:
    """Rows under headings, and a title above.

    Columns in `left` are text, which may wrap; the others are numbers, which do not. Where the
    table is too wide and its first column is names, each name has a line of its own.
    """

    def __init__(
        self,
        title: str,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        left: Sequence[str] = (),
        *,
        names: bool = False,
    ) -> None:
        self.title, self.headings, self.rows = title, headings, [tuple(row) for row in rows]
        self.left, self.names = left, names

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from rich.measure import Measurement
        from rich.text import Text

        yield Text(self.title, style="italic")
        table = self._table(self.headings, self.rows)
        wide = options.update(max_width=_UNLIMITED)
        if self.names and Measurement.get(console, wide, table).maximum > options.max_width:
            yield from self._stacked()
        else:
            yield table

    def _table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for index, heading in enumerate(headings):
            if index == 0 or heading in self.left:
                table.add_column(heading, overflow="fold", min_width=len(heading))
            else:
                table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        return table

    def _stacked(self) -> Iterator[RenderableType]:
        """A line for the name and a line for what belongs to it."""
        from rich.text import Text

        headings = self.headings[1:]
        columns = list(zip(headings, *(row[1:] for row in self.rows), strict=True))
        width = [max(map(len, column)) for column in columns]

        def line(cells: Sequence[str]) -> str:
            padded = (
                cell.ljust(size) if heading in self.left else cell.rjust(size)
                for heading, cell, size in zip(headings, cells, width, strict=True)
            )
            return f"   {'  '.join(padded)}".rstrip()

        yield Text(f"\n {self.headings[0]}\n{line(headings)}\n {'─' * (len(line(headings)) - 1)}")
        for name, *cells in self.rows:
            yield Text(f" {name}")
            if any(cells):
                yield Text(line(cells))
        yield Text("")


def count(number: int, one: str, several: str | None = None) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def listed(words: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; of many the first, and how many more."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
