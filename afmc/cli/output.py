"""Where things are printed: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show(renderable: RenderableType) -> None:
    from rich.console import Console

    # Elsewhere than on a terminal a line is as long as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(renderable, highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[str, int], None]]:
    """A function of what is being done and how far it has come: a bar on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        current = bar.add_task("start", total=None, done="")
        counted: dict[str, int] = {}

        def advance(what: str, steps: int) -> None:
            if steps == 0:
                bar.console.print(what, highlight=False)
                return
            counted[what] = counted.get(what, 0) + steps
            done = f"{counted[what]:,} tokens" if counted[what] > 1 else ""
            bar.update(current, description=what, done=done)

        yield advance


def _plain_lines() -> Callable[[str, int], None]:
    start = time.perf_counter()
    seen: set[str] = set()

    def advance(what: str, steps: int) -> None:
        if what not in seen:
            seen.add(what)
            print(f"[{time.perf_counter() - start:6.1f} s] {what}", file=sys.stderr, flush=True)

    return advance
