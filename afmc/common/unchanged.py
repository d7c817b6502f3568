"""Whether the files of a folder are still what they were when afmc finished it.

Large files are hashed once: what was seen of one, its size, its times and its place on the disk, is
kept in the cache under the hash of the folder's manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from afmc.common.cache import cache_dir
from afmc.common.manifest import NAME, FileMade, Manifest, digest, files_in
from afmc.common.shown import shown
from afmc.common.strict_json import read_object

_LONG = 1 << 28
"""Bytes that take about a second, so that something is said first."""
_SETTLED_S = 2
"""After a change, for so long another one might leave the same times."""
_LARGEST = 1 << 26


def difference(folder: Path, manifest: Manifest, paths: Iterable[str]) -> str | None:
    """What is wrong with the first of these files that is not as the manifest says.

    A clause that names the file, or None. Raises OSError.
    """
    for path in paths:
        if path not in manifest.files:
            return f"{folder / path} is not in {NAME}"
        if reason := _difference(folder / path, manifest.files[path]):
            return reason
    return None


def difference_within(
    folder: Path, manifest: Manifest, part: str, log: Callable[[str], None] = lambda line: None
) -> str | None:
    """What is wrong in the folder `part` of a folder, if anything: a file that is missing, was
    changed, or is not in the manifest.

    `part` is empty for all of it. Calls `log` where hashing takes long. Raises OSError.
    """
    start = f"{part}/" if part else ""
    ours = [path for path in manifest.files if path.startswith(start)]
    if (folder / part).is_dir():
        there = [f"{start}{path}" for path in sorted(files_in(folder / part))]
        for path in there:
            if path not in manifest.files and path != NAME:
                return f"{folder / shown(path)} is not in {NAME}"
    seen = _Seen(folder)
    new = [path for path in ours if not seen.holds(path)]
    size = sum(manifest.files[path].bytes for path in new)
    if size > _LONG:
        log(f"hashing {size / 1e9:.1f} GB in {folder / part} once")
    stamps = {path: _stamp(folder / path) for path in new}
    reason = difference(folder, manifest, new)
    if reason is None and new:
        seen.keep(stamps)
    return reason


def _difference(file: Path, made: FileMade) -> str | None:
    if not file.is_file():
        return f"{file} is not there"
    size = file.stat().st_size
    if size != made.bytes:
        return f"{file} was changed: it has {size:,} bytes, not the {made.bytes:,} of {NAME}"
    if digest(file) != made.sha256:
        return f"{file} was changed: its SHA-256 is not that of {NAME}"
    return None


_Stamp = list[int]


def _stamp(file: Path) -> _Stamp | None:
    """None where it is not there, or too new to tell it from what it may become."""
    try:
        found = file.stat()
    except OSError:
        return None
    if abs(time.time() - max(found.st_mtime, found.st_ctime)) < _SETTLED_S:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino]


class _Seen:
    """The files of a folder that were found to be as its manifest says, by what stat said then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        key = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
        self._file = cache_dir() / "unchanged" / f"{key}.json"
        try:
            self._stamps = read_object(self._file, _LARGEST)
        except (OSError, ValueError):
            self._stamps = {}

    def holds(self, path: str) -> bool:
        stamp = _stamp(self._folder / path)
        return stamp is not None and self._stamps.get(path) == stamp

    def keep(self, stamps: dict[str, _Stamp | None]) -> None:
        """Where the cache cannot be written, files are hashed again."""
        self._stamps |= {path: stamp for path, stamp in stamps.items() if stamp is not None}
        unfinished = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(self._stamps), encoding="utf-8")
            unfinished.replace(self._file)
