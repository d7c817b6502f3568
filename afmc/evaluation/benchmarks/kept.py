"""Runs that are done, in lm-eval's format, so that an interrupted evaluation goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from afmc.common.files import Kind, begins, check_file, written
from afmc.errors import OptionError

RESULTS = Kind("what 'afmc eval' wrote", begins(b"{", has=b'"harness"'))
RUN = Kind("a result of 'afmc eval'", begins(b'{\n "afmc"'))


class KeptRuns:
    """Results by what they depend on; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def file(self, who: str, task: str, depends: dict[str, Any]) -> Path | None:
        """Where a run is kept: each in a file of its own, by what it depends on."""
        if self.folder is None:
            return None
        return self.folder / "runs" / who / f"{task}-{key_of(depends)[:8]}.json"

    def read(self, who: str, task: str, depends: dict[str, Any]) -> dict[str, Any] | None:
        """None where it was not run, or is of something else."""
        file = self.file(who, task, depends)
        if file is None or not file.is_file():
            return None
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        ours = isinstance(found, dict) and isinstance(found.get("afmc"), dict)
        return found if ours and found["afmc"].get("key") == key_of(depends) else None

    def write(self, who: str, task: str, depends: dict[str, Any], results: dict[str, Any]) -> None:
        file = self.file(who, task, depends)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = {"afmc": {"key": key_of(depends), **depends}, **results}
        text = json.dumps(whole, indent=1, default=str, ensure_ascii=False)
        with written(file, RUN) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def key_of(depends: dict[str, Any]) -> str:
    text = json.dumps(depends, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def check_output(folder: Path) -> None:
    """Raises OptionError where results cannot be written to the folder."""
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"-o {folder} is a file; name a folder.")
    check_file(folder / "results.json", RESULTS, "-o", parents=True)
