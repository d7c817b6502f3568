"""Tables of measurements: printed, and with ``--write`` put on their page in docs/results.

A page has a table between two comments, and under it where it comes from: the command, the day, the
commit, the machine, and which figures are measured, published, derived or assumed.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--write``."""
    parser.add_argument(
        "--write", action="store_true", help="put the table on its page in docs/results"
    )


@dataclass
class Table:
    """A table that is printed row by row. Its first `words` columns and its
    last `words_after` are text, the others numbers."""

    page: str
    name: str
    headings: tuple[str, ...]
    basis: str
    """Which figures are measured, published, derived or assumed: sentences."""
    words: int = 1
    words_after: int = 0
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def head(self) -> list[str]:
        """The two lines above the rows."""
        numbers = len(self.headings) - self.words - self.words_after
        kinds = "---|" * self.words + "---:|" * numbers + "---|" * self.words_after
        return [line(self.headings), "|" + kinds]

    def begin(self) -> None:
        """Prints the headings."""
        print("\n".join(self.head), flush=True)

    def add(self, *cells: str) -> None:
        """Prints a row."""
        self.keep(*cells)
        print(line(cells), flush=True)

    def keep(self, *cells: str) -> None:
        """Takes a row without printing it."""
        if len(cells) != len(self.headings):
            raise ValueError(f"{self.name}: {len(cells)} cells for {len(self.headings)} columns")
        self.rows.append(cells)

    def finish(self, write: bool) -> None:
        """Puts the table on its page, if that is wanted."""
        if not write:
            return
        file = RESULTS / f"{self.page}.md"
        lines = [*self.head, *map(line, self.rows), "", source(self.basis)]
        file.write_text(replaced(file.read_text("utf-8"), self.name, lines), encoding="utf-8")
        print(f"written to {file.relative_to(ROOT)}", file=sys.stderr)


def line(cells: Iterable[str]) -> str:
    """A row in Markdown."""
    return f"| {' | '.join(cells)} |"


def replaced(text: str, name: str, lines: list[str]) -> str:
    """A page with these lines between the comments of a table."""
    first, last = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    if text.count(first) != 1 or text.count(last) != 1:
        raise ValueError(f"the page needs one '{first}' and one '{last}'")
    before, _, rest = text.partition(first)
    after = rest.partition(last)[2]
    return "\n".join([before + first, *lines, last + after])


def source(basis: str) -> str:
    """Where a table comes from that was made now, here, by this command."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    arguments = [word for word in sys.argv[1:] if word != "--write"]
    command = shlex.join(["python", str(script), *map(_without_folders, arguments)])
    today = datetime.datetime.now(datetime.UTC).date()
    return f"*Source:* `{command}`, {today}, commit {commit()}, {machine()}. {basis}"


def _without_folders(argument: str) -> str:
    """An argument as a reader would give it: a file outside the repository by its name."""
    path = Path(argument)
    return path.name if path.is_absolute() else argument


def commit() -> str:
    """The commit that is checked out, with a + where files differ from it."""
    said = ["git", "-C", str(ROOT)]
    name = subprocess.run([*said, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    dirty = subprocess.run([*said, "diff", "--quiet", "HEAD", "--", "afmc", "passes", "targets"])
    return name.stdout.strip() + ("+" if dirty.returncode else "")


def machine() -> str:
    """Cores and processor, and whether other work ran there."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text("utf-8")) if info.exists() else None
    name = re.sub(r"\((R|TM)\)", "", found[1]) if found else os.uname().machine
    cores = os.cpu_count() or 1
    shared = ", which other work shared" if os.getloadavg()[0] > cores + 0.5 else ""
    return f"{cores} cores of an {name}{shared}"
