"""Where things are printed: results on stdout, progress on stderr."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afmc.cli.verbosity import verbosity
from afmc.common.shown import escaped, escaped_json, shown

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_HERE = Path(__file__).parents[1]
_ELSEWHERE = 160
_LONGEST = 4000
"""Characters of a sentence about an error."""


def print_json(value: Mapping[str, Any]) -> None:
    print(escaped_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def show(renderable: RenderableType) -> None:
    """Prints a table or a text as wide as the terminal; elsewhere as wide as COLUMNS says, or 160
    characters, and without blanks at the ends of lines."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(_Escaped(renderable), highlight=False)
        return
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and 0 < int(columns) < 10**6 else _ELSEWHERE
    drawn = Console(file=io.StringIO(), width=width, color_system=None)
    drawn.print(_Escaped(renderable), highlight=False)
    for line in drawn.file.getvalue().splitlines():  # type: ignore[attr-defined]
        print(line.rstrip())


def error(sentence: str) -> None:
    """Prints what is wrong, cut where it is longer than anyone reads; with -v also where."""
    cut = sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]}..."
    if sys.exception() is not None:
        for line in raised_at(sys.exception()):
            verbosity.note(line)
    print(f"error: {escaped(cut)}", file=sys.stderr)
    verbosity.keep(f"error: {cut}")


def raised_at(error: BaseException | None) -> Iterator[str]:
    """Where in afmc an error was raised, innermost last, and what it was raised for."""
    while error is not None:
        reason = (str(error).splitlines() or [""])[0][:200]
        yield f"{type(error).__name__}: {reason}"
        for frame in traceback.extract_tb(error.__traceback__):
            path = Path(frame.filename)
            if path.is_relative_to(_HERE):
                yield f"  {path.relative_to(_HERE.parent)}:{frame.lineno} {frame.name}"
        error = error.__cause__


@dataclass(frozen=True)
class _Escaped:
    """What is rendered, with control characters in its text escaped."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.content, options):
            if segment.control:
                yield segment
            else:
                yield segment._replace(text=escaped(segment.text))


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of several names, and how many more there are."""
    first = ", ".join(shown(name) for name in names[:most])
    rest = len(names) - most
    return f"{first} and {rest:,} more" if rest > 0 else first


def replacing(something: bool) -> str:
    """The end of a sentence that says what was written."""
    return ", in place of an earlier one" if something else ""
