"""A page on disk: whole or not at all, and never over something that is no page."""

from __future__ import annotations

import os
from pathlib import Path

from afmc.errors import OptionError
from afmc.files import written

_BEGIN = "<!doctype html>"


def check_page(path: Path) -> None:
    """Raises OptionError when a page cannot be written there."""
    if path.is_dir():
        raise OptionError(f"{path} is a folder; name a file with -o.")
    if path.exists() and not _is_page(path):
        raise OptionError(f"{path} is there and is no HTML page; name another file with -o.")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        where = os.path.relpath(parent)
        raise OptionError(
            f"{path} cannot be written, for {where} is no folder that takes files; name another "
            f"file with -o."
        )


def _is_page(path: Path) -> bool:
    """An empty file may be written over, too."""
    try:
        with path.open("rb") as file:
            start = file.read(200).lstrip().lower()
    except OSError:
        return False
    return not start or start.startswith((_BEGIN.encode(), b"<html"))


def write_page(path: Path, page: str) -> Path:
    """Raises OptionError where it cannot be written."""
    check_page(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{path.parent} cannot be made: {error.strerror}.") from error
    with written(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return path
