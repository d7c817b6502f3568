"""Files of users that are read whole: no pipe, no device, none that is too large."""

from __future__ import annotations

from pathlib import Path


class NotRegular(ValueError):
    """What is no such file. Its text continues the file's name."""


def check_regular(file: Path, largest: int) -> None:
    """Raises OSError where there is nothing, and NotRegular for what is not to be read whole.

    Nothing is opened: opening a pipe waits for who writes to it.
    """
    size = file.stat().st_size
    if file.is_dir():
        raise NotRegular("is a folder; name a file")
    if not file.is_file():
        raise NotRegular("is a pipe or a device; name a file")
    if size > largest:
        raise NotRegular(f"has {size:,} bytes, and at most {largest:,} are read; cut it")
