"""A page on disk: whole or not at all, and never over something that is no page of afmc."""

from __future__ import annotations

from pathlib import Path

from afmc.common.files import Kind, begins, check_file, written

PAGE = Kind(
    "an HTML page of afmc", begins(b"<!doctype html>", has=b'<meta name="generator" content="afmc')
)


def check_page(path: Path) -> bool:
    """Whether a page that is there will be replaced. Raises OptionError where none can be."""
    return check_file(path, PAGE, parents=True)


def write_page(path: Path, page: str) -> Path:
    """Raises OptionError where it cannot be written."""
    with written(path, PAGE, parents=True) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return path
