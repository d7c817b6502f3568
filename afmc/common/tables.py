"""Tables of the terminal, all in one style."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

_BETWEEN = 3
"""Characters between two columns."""
_EDGES = 2
_INDENT = "   "


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
    """Rows under headings, and a title above; no number and no key is ever cut.

    Columns in `left` are text, which may wrap, and those in `keys` text to be copied, which does
    not; the others are numbers, and the first column may wrap unless it is `names`. Where that is
    too wide for the screen, the columns in `below` have a line of their own under each row; where
    that is too wide, the name has one, too; and at last each value has one.
    """

    def __init__(
        self,
        title: str,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        left: Collection[str] = (),
        *,
        keys: Collection[str] = (),
        below: Collection[str] = (),
        names: bool = False,
    ) -> None:
        self.title, self.headings, self.rows = title, headings, [tuple(row) for row in rows]
        self.left, self.keys, self.below, self.names = left, keys, below, names

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        from rich.text import Text

        if self.title:
            yield Text(self.title, style="italic")
        width = options.max_width
        if self._narrowest() <= width:
            yield self._table()
        elif self.below and max(map(len, self._lines(0))) <= width:
            yield from self._above()
        elif max(map(len, self._lines(1))) <= width:
            yield from self._stacked()
        else:
            yield from self._records()

    def _wraps(self, index: int) -> bool:
        return self.headings[index] in self.left or (index == 0 and not self.names)

    def _narrowest(self) -> int:
        """Characters that a line of the table takes at least."""
        found = _EDGES + _BETWEEN * (len(self.headings) - 1)
        for index, heading in enumerate(self.headings):
            cells = [heading, *(row[index] for row in self.rows)]
            if self._wraps(index) and not self.names:
                cells = [heading, *(word for cell in cells for word in cell.split())]
            found += max(map(len, cells))
        return found

    def _table(self) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for index, heading in enumerate(self.headings):
            if self._wraps(index):
                table.add_column(heading, overflow="fold", min_width=len(heading))
            else:
                side = "left" if index == 0 or heading in self.keys else "right"
                table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def _lines(self, first: int) -> list[str]:
        """The line of headings and that of each row, from a column on, without those below."""
        after = range(first, len(self.headings))
        places = [place for place in after if self.headings[place] not in self.below]
        lines = [self.headings, *self.rows]
        width = {place: max(len(line[place]) for line in lines) for place in places}

        def cell(line: Sequence[str], place: int) -> str:
            is_text = place == 0 or self.headings[place] in (*self.left, *self.keys)
            text = line[place]
            return text.ljust(width[place]) if is_text else text.rjust(width[place])

        return [
            f"{_INDENT if first else ' '}{'  '.join(cell(line, at) for at in places)}".rstrip()
            for line in lines
        ]

    def _above(self) -> Iterator[RenderableType]:
        """A line for name and numbers, and one beneath."""
        from rich.text import Text

        headings, *lines = self._lines(0)
        yield Text(f"\n{headings}\n {'─' * (max(map(len, lines)) - 1)}")
        for row, line in zip(self.rows, lines, strict=True):
            yield Text(line)
            yield from self._beneath(row)
        yield Text("")

    def _stacked(self) -> Iterator[RenderableType]:
        """A line for the name and a line for what belongs to it."""
        from rich.text import Text

        headings, *lines = self._lines(1)
        yield Text(f"\n {self.headings[0]}\n{headings}\n {'─' * (len(headings) - 1)}")
        for row, line in zip(self.rows, lines, strict=True):
            yield Text(f" {row[0]}")
            if line.strip():
                yield Text(line)
            yield from self._beneath(row)
        yield Text("")

    def _beneath(self, row: Sequence[str]) -> Iterator[RenderableType]:
        from rich.padding import Padding
        from rich.text import Text

        said = [row[place] for place, name in enumerate(self.headings) if name in self.below]
        if any(said):
            yield Padding(Text(", ".join(filter(None, said)), overflow="fold"), (0, 0, 0, 3))

    def _records(self) -> Iterator[RenderableType]:
        """A line for each value."""
        from rich.padding import Padding
        from rich.text import Text

        first = 1 if self.headings[0] else 2  # behind a mark
        for row in self.rows:
            yield Text(f"\n {' '.join(filter(None, row[:first]))}")
            for heading, cell in zip(self.headings[first:], row[first:], strict=True):
                if cell:
                    yield Padding(Text(f"{heading}: {cell}", overflow="fold"), (0, 0, 0, 3))
        yield Text("")


def count(number: int, one: str, several: str | None = None) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def listed(words: Sequence[str], most: int = 6) -> str:
    """``a, b and c``; of many the first, and how many more."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
