"""A terminal of 100 columns without colour, in which commands and Python run as a reader's do."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import shlex
import subprocess
import sys
import types
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLUMNS = 100
ENVIRONMENT = {"COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "dumb", "NO_COLOR": "1"}
_GIVEN = re.compile(r"[A-Z_]+=\S*")
"""A variable for one command."""
_SHELL = re.compile(r"[|&;<`$*(\n]|>>|2>")
"""What a shell is needed for; a plain ``> FILE`` is done here."""


@dataclass(frozen=True)
class Ran:
    """What a command printed on both streams, and how it ended."""

    printed: list[str]
    status: int


class Screen(io.StringIO):
    """What a program takes to be a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Terminal:
    """Commands and Python code of one page. The current folder is `folder`, `bin` is on the path.

    `afmc` runs in this process, anything else as a process of its own.
    """

    folder: Path
    module: types.ModuleType = field(default_factory=lambda: types.ModuleType("page"))

    def __post_init__(self) -> None:
        """Names `afmc` and `python` for processes: the tree and the interpreter of this one."""
        self.bin = self.folder.with_name(self.folder.name + "-bin")
        self.bin.mkdir()
        python = shlex.quote(sys.executable)
        start = "import sys; sys.argv[0] = 'afmc'; from afmc.cli import main; main()"
        for name, line in (("python", python), ("afmc", f'{python} -c "{start}"')):
            file = self.bin / name
            tree = f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{ROOT}"'
            file.write_text(f'#!/bin/sh\n{tree}\nexec {line} "$@"\n', encoding="utf-8")
            file.chmod(0o755)
        sys.modules[self.module.__name__] = self.module

    def run(self, command: str) -> Ran:
        """Runs one command line."""
        try:
            words = [] if _SHELL.search(command) else shlex.split(command)
        except ValueError:
            words = []
        given = list(takewhile(_GIVEN.fullmatch, words))
        words = words[len(given) :]
        if words[:1] != ["afmc"]:
            return self._in_shell(command)
        into = None
        if len(words) > 2 and words[-2] == ">":
            *words, _, name = words
            into = self.folder / name
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (each.split("=", 1) for each in given):
                patch.setenv(name, value)
                if name == "PYTHONPATH":
                    patch.syspath_prepend(self.folder / value)
            return self._in_process(words, into)

    def execute(self, code: str, name: str, line: int) -> list[str]:
        """Runs Python in the namespace of the page; `line` lines of the page are above it."""
        code = "\n" * line + code
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        screen = Screen()
        with contextlib.redirect_stdout(screen):
            exec(compile(code, name, "exec"), self.module.__dict__)
        return lines_of(screen.getvalue())

    def _in_process(self, words: list[str], into: Path | None) -> Ran:
        from afmc.cli import main

        screen = Screen()
        stdout = io.StringIO() if into else screen
        status = 0
        before, sys.argv = sys.argv, list(words)
        try:
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(screen):
                main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.argv = before
        if into:
            into.write_text(stdout.getvalue(), encoding="utf-8")
        return Ran(lines_of(screen.getvalue()), status)

    def _in_shell(self, command: str) -> Ran:
        path = os.pathsep.join(
            filter(None, (str(self.bin), str(Path(sys.executable).parent), os.environ.get("PATH")))
        )
        found = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={key: os.environ[key] for key in os.environ if key != "PYTHONPATH"}
            | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Ran(lines_of(found.stdout), found.returncode)


def lines_of(text: str) -> list[str]:
    """The lines of what was printed, without empty ones at the ends."""
    text = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return text.split("\n") if text else []
