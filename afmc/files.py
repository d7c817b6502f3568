"""Files on disk: whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from afmc.errors import AfmcError, OptionError


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


@contextmanager
def written_folder(directory: Path, refusal: type[AfmcError] = OptionError) -> Iterator[Path]:
    """A folder beside its place to write to, which takes that place when nothing was raised.

    What was at `directory` before is gone then, and stays otherwise. Raises `refusal` in one
    sentence where the system refuses.
    """
    directory = directory.absolute()
    unfinished = directory.parent / f".{directory.name}.{os.getpid()}.unfinished"
    replaced = directory.parent / f".{directory.name}.{os.getpid()}.replaced"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        if directory.exists():
            directory.rename(replaced)
        unfinished.rename(directory)
    except (OSError, SafetensorError) as error:
        raise refusal(f"{directory} cannot be written: {error}.") from error
    finally:
        if replaced.exists() and not directory.exists():
            replaced.rename(directory)
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
