"""Files in a folder of afmc that afmc did not write: they stay when the rest is replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from afmc.common.manifest import NAME, files_in, read_manifest


def foreign(folder: Path) -> list[str]:
    """Paths within a folder of what afmc did not write there; without a manifest, of everything."""
    manifest = read_manifest(folder)
    ours = set() if manifest is None else {NAME, *manifest.files}
    return sorted(path for path in files_in(folder) if path not in ours)


def keep(folder: Path, new: Path) -> list[str]:
    """Gives `new` what is foreign in `folder`, as further links to it; returns their paths.

    Raises FileExistsError where `new` has something of its own there, and OSError.
    """
    kept = foreign(folder)
    for path in kept:
        _check_free(new, path)
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        _link(folder / path, new / path)
    for path in _empty_folders(folder):
        with suppress(FileExistsError):
            (new / path).mkdir(parents=True)
    return kept


def settle(folder: Path, place: Path) -> None:
    """Removes a folder that `place` has replaced.

    What is foreign in it and not at `place` goes there, or stays where that is taken.
    """
    for path in foreign(folder):
        old, new = folder / path, place / path
        with suppress(OSError):
            if _is_same(old, new):
                old.unlink()
            elif not os.path.lexists(new) and not _taken(place, path):
                new.parent.mkdir(parents=True, exist_ok=True)
                old.rename(new)
    manifest = read_manifest(folder)
    for path in () if manifest is None else manifest.files:
        if not _taken(folder, path):
            with suppress(OSError):
                (folder / path).unlink()
    for path in _folders(folder):
        with suppress(OSError):
            (folder / path).rmdir()
    if os.listdir(folder) == [NAME]:
        (folder / NAME).unlink()
        folder.rmdir()


def _check_free(folder: Path, path: str) -> None:
    if os.path.lexists(folder / path) or _taken(folder, path):
        raise FileExistsError(17, "afmc writes one of that name", path)


def _taken(folder: Path, path: str) -> bool:
    """Whether something on the way to a path is no folder; a link to one is none."""
    parents = (folder / part for part in list(Path(path).parents)[:-1])
    return any(
        os.path.lexists(each) and (each.is_symlink() or not each.is_dir()) for each in parents
    )


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError:  # a file system without hard links, or another user's file
        shutil.copy2(old, new, follow_symlinks=False)


def _is_same(old: Path, new: Path) -> bool:
    try:
        one, other = old.lstat(), new.lstat()
    except OSError:
        return False
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    if old.is_symlink() or new.is_symlink():
        return old.is_symlink() and new.is_symlink() and os.readlink(old) == os.readlink(new)
    return (one.st_mode, one.st_size, one.st_mtime_ns) == (
        *(other.st_mode, other.st_size, other.st_mtime_ns),
    )


def _folders(folder: Path) -> Iterator[str]:
    """All below, the deepest first; links to folders are none."""
    for place, names, _ in os.walk(folder, topdown=False):
        for name in names:
            path = Path(place, name)
            if not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _empty_folders(folder: Path) -> Iterator[str]:
    for path in _folders(folder):
        if not os.listdir(folder / path):
            yield path
