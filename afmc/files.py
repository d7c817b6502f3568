"""Files on disk: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from afmc.errors import OptionError


def check_writable(file: Path) -> None:
    """Raises OptionError, in one sentence, where the file that ``-o`` names cannot be written."""
    if file.is_dir():
        raise OptionError(f"-o {file} is a folder; name a file in it.")
    parent = file.absolute().parent
    if not parent.is_dir():
        raise OptionError(f"-o {file}: there is no folder {file.parent}; make it first.")
    if not os.access(parent, os.W_OK):
        raise OptionError(f"-o {file}: the folder {file.parent} cannot be written to.")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to, which becomes `path` when nothing was raised.

    A kill leaves a hidden file that ends in ``.unfinished`` and the file's own ending. Raises
    OptionError in one sentence where the system refuses.
    """
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
