"""How much a command says besides its result, and the file that keeps it: -q, -v, --log-file."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TextIO, get_type_hints

import typer

from afmc.common.shown import escaped
from afmc.common.version import VERSION
from afmc.errors import OptionError

_FIRST = "# what afmc did, in UTC\n"

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors, and no progress.")
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also print versions, every step, and with an error where it was raised.",
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Append what --verbose prints to a file, with times in UTC.",
    ),
]
_OPTIONS = {"quiet": (Quiet, False), "verbose": (Verbose, False), "log_file": (LogFile, None)}


@dataclass
class Verbosity:
    quiet: bool = False
    verbose: bool = False
    log: TextIO | None = None

    def note(self, line: str) -> None:
        """Keeps a line in the log, and prints it where everything is printed."""
        if self.verbose:
            print(escaped(line), file=sys.stderr, flush=True)
        self.keep(line)

    def keep(self, text: str) -> None:
        """Appends lines to the log, each with the time."""
        if self.log is None:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.log.writelines(f"{now} {escaped(line)}\n" for line in text.splitlines())
        self.log.flush()

    def set(self, quiet: bool, verbose: bool, log_file: Path | None) -> None:
        """Takes over what was given. Raises OptionError for both at once and for a file that cannot
        be written."""
        first = not (self.verbose or self.log)
        self.quiet, self.verbose = self.quiet or quiet, self.verbose or verbose
        if self.quiet and self.verbose:
            raise OptionError("--quiet and --verbose are opposites: give one of them.")
        if log_file is not None:
            if self.log is not None:
                self.log.close()
            self.log = _opened(log_file)
            self.keep(" ".join(["afmc", *sys.argv[1:]]))
        if first and (self.verbose or self.log):
            python = ".".join(map(str, sys.version_info[:3]))
            self.note(f"afmc {VERSION}, Python {python}")
            logger = logging.getLogger("afmc")
            logger.setLevel(logging.DEBUG)
            logger.addHandler(_HANDLER)

    def end(self) -> None:
        """Closes the log, and forgets what was given."""
        if self.log is not None:
            self.log.close()
        logging.getLogger("afmc").removeHandler(_HANDLER)
        self.quiet, self.verbose, self.log = False, False, None


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        verbosity.note(f"{record.name}: {record.getMessage()}")


_HANDLER = _Handler()
verbosity = Verbosity()
"""That of the command that runs."""


def with_verbosity(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that also takes -q, -v and --log-file, so that they may stand behind its name."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        verbosity.set(*(options.pop(name) for name in _OPTIONS))
        return command(*arguments, **options)

    added = {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
        )
        for name, (kind, default) in _OPTIONS.items()
    }
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command, eval_str=True)
    own = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()
    ]
    run.__signature__ = signature.replace(parameters=[*own, *added.values()])  # type: ignore[attr-defined]
    run.__annotations__ = hints | {name: kind for name, (kind, _) in _OPTIONS.items()}
    return run


def _opened(file: Path) -> TextIO:
    from afmc.common.files import Kind, begins, check_file

    kind = Kind("a log that afmc wrote", begins(_FIRST.encode()))
    there = check_file(file, kind, "--log-file")
    try:
        log = file.open("a", encoding="utf-8")
        if not there:
            log.write(_FIRST)
    except OSError as error:
        raise OptionError(f"--log-file {file} cannot be written: {error.strerror}.") from error
    return log
