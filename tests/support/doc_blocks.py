"""Code blocks of Markdown pages: found, run in order in one folder, compared, written back.

A page is read as a reader would follow it. ``console`` blocks hold commands (lines that begin with
``$ ``; a backslash at the end continues one) and what each of them prints. ``python`` blocks share
one namespace, and a ``text`` block right behind one is what it prints. A block with
``title="NAME"`` is written to the file NAME instead of being run. In shown output, ``...`` stands
for any text within a line, and alone on a line for any number of lines. The comment
``<!-- not run: REASON -->`` before a block leaves it out, ``<!-- real model -->`` keeps it for the
tests that have SmolLM2.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from json import loads
from pathlib import Path

from terminal import Terminal

ROOT = Path(__file__).parents[2]
RUNS = ("console", "python")
REFUSED = ("bash", "sh", "shell", "pycon", "py", "python3")
"""Languages whose blocks have to be one of RUNS, or say why not."""
_OPEN = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?P<language>\w[\w+-]*)?(?P<rest>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_SNIPPET = re.compile(r'^ *--8<-- "([^"]+)" *$')
_VOLATILE = (
    (re.compile(r"\bin [\d.,]+ s, at most [\d.,]+ MB"), "in ... s, at most ... MB"),
    (re.compile(r"\b[\d.,]+ s\b(?=.*\(measured)"), "... s"),
    (re.compile(r"(Speed of this simulation:) .*"), r"\1 ..."),
    (re.compile(r"; [\d.,]+ s to program an instance.*"), "; ..."),
)
"""What no two runs have in common, and what an updated page shows of it."""


class BlockError(AssertionError):
    """A block that does not do what its page says."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; lines are counted from 0."""

    language: str
    lines: tuple[str, ...]
    first: int
    """Line behind the opening fence."""
    indent: str = ""
    title: str | None = None
    not_run: str | None = None
    real_model: bool = False

    @property
    def end(self) -> int:
        """Line of the closing fence."""
        return self.first + len(self.lines)

    @property
    def code(self) -> str:
        """The text, with the files that it includes."""
        text = []
        for line in self.lines:
            found = _SNIPPET.match(line)
            text.append((ROOT / found[1]).read_text("utf-8").rstrip("\n") if found else line)
        return "\n".join(text) + "\n"


def blocks_of(text: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    lines = text.splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        opened = _OPEN.match(lines[at])
        if opened is None:
            at += 1
            continue
        indent, fence = opened["indent"], opened["fence"]
        first = at + 1
        end = first
        while end < len(lines) and lines[end].strip() != fence:
            end += 1
        before = _comments_before(lines, at)
        reasons = [match[1] for match in map(_NOT_RUN.fullmatch, before) if match]
        title = _TITLE.search(opened["rest"])
        body = tuple(line.removeprefix(indent) for line in lines[first:end])
        found.append(
            Block(
                opened["language"] or "",
                body,
                first,
                indent,
                title[1] if title else None,
                reasons[0] if reasons else None,
                "<!-- real model -->" in before,
            )
        )
        at = end + 1
    return found


def _comments_before(lines: list[str], at: int) -> list[str]:
    """The comments right above a line, with or without an empty line between."""
    found = []
    while at and (not lines[at - 1].strip() or lines[at - 1].strip().startswith("<!--")):
        at -= 1
        if lines[at].strip():
            found.append(lines[at].strip())
    return found


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether lines with ``...`` stand for the lines that were printed."""
    reached = {0}
    """How many of the printed lines the shown ones so far may stand for."""
    for line in shown:
        if line.strip() == "...":
            reached = set(range(min(reached, default=0), len(printed) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(printed) and _line(line, printed[at])}
    return len(printed) in reached


def _line(shown: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.rstrip().split("..."))
    return re.fullmatch(pattern, printed.rstrip()) is not None


def merged(shown: list[str], printed: list[str]) -> list[str]:
    """What was printed, with ``...`` where the page had it and it still fits.

    The cheapest way to make the one of the other: a shown line that fits stays, ``...`` takes any
    number of lines, other lines are replaced, left out or added.
    """
    costs: dict[tuple[int, int], tuple[float, list[str]]] = {}
    for i in range(len(shown), -1, -1):
        for j in range(len(printed), -1, -1):
            costs[i, j] = min(_steps(shown, printed, i, j, costs), key=lambda step: step[0])
    return costs[0, 0][1]


def _steps(
    shown: list[str],
    printed: list[str],
    i: int,
    j: int,
    costs: dict[tuple[int, int], tuple[float, list[str]]],
) -> Iterator[tuple[float, list[str]]]:
    """What can become of the lines from `i` and `j` on, and at what cost."""
    if i == len(shown) and j == len(printed):
        yield 0.0, []
    if i < len(shown):
        cost, rest = costs[i + 1, j]
        anything = shown[i].strip() == "..."
        yield (cost, [shown[i], *rest]) if anything else (cost + 1, rest)
        if j < len(printed) and anything:
            yield costs[i, j + 1]
        if j < len(printed) and not anything:
            cost, rest = costs[i + 1, j + 1]
            if _line(shown[i], printed[j]):
                yield cost, [shown[i], *rest]
            elif SequenceMatcher(None, shown[i], printed[j]).ratio() > 0.5:
                yield cost + 0.8, [steady(printed[j]), *rest]
    if j < len(printed):
        cost, rest = costs[i, j + 1]
        yield cost + 0.5, [steady(printed[j]), *rest]


def steady(line: str) -> str:
    """A printed line without what is another in each run."""
    for pattern, shown in _VOLATILE:
        line = pattern.sub(shown, line)
    return line


@dataclass
class Page:
    """A page whose blocks run in one folder, and the text that it should have."""

    path: Path
    text: str
    real_model: bool
    """Whether blocks that need SmolLM2 run."""
    update: bool = False
    problems: list[str] = field(default_factory=list)
    _replaced: list[tuple[int, int, list[str]]] = field(default_factory=list)

    def run(self, terminal: Terminal) -> None:
        """Runs every block of the page; what differs is in `problems`."""
        blocks = blocks_of(self.text)
        for number, block in enumerate(blocks):
            if block.not_run or (block.real_model and not self.real_model):
                continue
            after = blocks[number + 1] if number + 1 < len(blocks) else None
            if block.title is not None:
                target = terminal.folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.code, encoding="utf-8")
                self._parse(block)
            elif block.language == "console":
                self._run_console(block, terminal)
            elif block.language == "python":
                self._run_python(block, after, terminal)
            elif block.language in REFUSED:
                self._say(block, 0, f"a {block.language} block: make it console or python")
            else:
                self._parse(block)

    def updated(self) -> str:
        """The text of the page with what was printed."""
        lines = self.text.splitlines()
        for first, end, new in sorted(self._replaced, reverse=True):
            lines[first:end] = new
        return "\n".join(lines) + "\n"

    def _run_console(self, block: Block, terminal: Terminal) -> None:
        fresh: list[str] = []
        for line, command, shown in _commands(block):
            ran = terminal.run(command)
            fresh += block.lines[line : line + command.count("\n") + 1]
            self._hold(block, line, shown, ran.printed)
            fresh += shown if matches(shown, ran.printed) else merged(shown, ran.printed)
            told = not ran.status or (shown and ran.printed and _line(shown[-1], ran.printed[-1]))
            if not told and not self.update:
                self._say(block, line, f"'{command}' exits with {ran.status}", ran.printed)
        if self.update and tuple(fresh) != block.lines:
            self._replace(block.first, block.end, block.indent, fresh)

    def _run_python(self, block: Block, after: Block | None, terminal: Terminal) -> None:
        between = self.text.splitlines()[block.end + 1 : after.first - 1] if after else ["x"]
        shows = after is not None and after.language == "text" and not any(map(str.strip, between))
        shown = _stripped(list(after.lines)) if after is not None and shows else []
        printed = terminal.execute(block.code, f"{self.path.name}:{block.first + 1}", block.first)
        self._hold(block, 0, shown, printed)
        if not self.update or matches(shown, printed):
            return
        if after is not None and shows:
            self._replace(after.first, after.end, after.indent, merged(shown, printed))
        else:
            lines = ["", "```text", *map(steady, printed), "```"]
            self._replace(block.end + 1, block.end + 1, block.indent, lines)

    def _parse(self, block: Block) -> None:
        """Data is what it says, whether it is run or not."""
        parsers: dict[str, Callable[[str], object]] = {
            "toml": tomllib.loads,
            "json": loads,
            "python": ast.parse,
        }
        try:
            parsers.get(block.language, str)(block.code)
        except (ValueError, SyntaxError) as error:
            self._say(block, 0, f"no {block.language}: {error}")

    def _hold(self, block: Block, line: int, shown: list[str], printed: list[str]) -> None:
        if not self.update and not matches(shown, printed):
            self._say(block, line, "prints something else", printed, shown)

    def _replace(self, first: int, end: int, indent: str, lines: list[str]) -> None:
        self._replaced.append((first, end, [(indent + line).rstrip() for line in lines]))

    def _say(
        self,
        block: Block,
        line: int,
        what: str,
        printed: Sequence[str] = (),
        shown: Sequence[str] = (),
    ) -> None:
        parts = [f"{self.path}:{block.first + line + 1}: {what}"]
        for title, lines in (("the page shows", shown), ("printed", printed)):
            if lines:
                parts += [f"  {title}:", *(f"    {each}" for each in lines)]
        self.problems.append("\n".join(parts))


def _commands(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """The commands of a console block: its line, the command, and what is shown of its output."""
    starts = [at for at, line in enumerate(block.lines) if line.startswith("$ ")]
    if starts[:1] != [0]:
        raise BlockError(f"line {block.first + 1}: a console block begins with '$ ' and a command")
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        last = start
        while last + 1 < end and _goes_on(block.lines[start : last + 1]):
            last += 1
        command = "\n".join(block.lines[start : last + 1]).removeprefix("$ ")
        yield start, command, _stripped(list(block.lines[last + 1 : end]))


def _goes_on(lines: tuple[str, ...]) -> bool:
    """Whether a command has more lines: a backslash, or a here-document that is open."""
    if lines[-1].endswith("\\"):
        return True
    document = re.search(r"<<-? *'?(\w+)'?", lines[0])
    return document is not None and (len(lines) == 1 or lines[-1].strip() != document[1])


def _stripped(lines: list[str]) -> list[str]:
    """Without empty lines at the ends, and without spaces at the ends of lines."""
    text = "\n".join(line.rstrip() for line in lines).strip("\n")
    return text.split("\n") if text else []
