"""Folders that several tests, and workers, only read: each is made once in a run."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


class Shared:
    """Folders by what they are made from. Who changes one copies it first: it is read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, *key: object, make: Callable[[Path], object]) -> Path:
        """The folder that ``make`` fills, unless a test of this run asked for it before."""
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        path = self.folder / name
        with FileLock(self.folder / f"{name}.lock"):
            if not path.exists():
                made = self.folder / f"{name}.part"
                made.mkdir()
                make(made)
                _forbid_writing(made)
                made.rename(path)
        return path


def _forbid_writing(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
