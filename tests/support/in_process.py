"""The command line in the process of the tests: what a shell would show of it, without a start."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from afmc.cli import main


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str | Path, **environment: str) -> Ran:
    """Runs ``afmc ARGUMENTS`` in a folder, as on a line of 120 characters that is no terminal."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["afmc", *map(str, arguments)])
        for name, value in {"COLUMNS": "120", **environment}.items():
            patch.setenv(name, value)
        with (
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            pytest.raises(SystemExit) as stopped,
        ):
            main()
    return Ran(int(stopped.value.code or 0), stdout.getvalue(), stderr.getvalue())
