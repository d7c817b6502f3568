"""Which files of a folder afmc wrote, and what is in each: the folder's manifest.

A folder is afmc's only with one. It is written last, so a folder that has one is finished.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from afmc.common.progress import announced_after
from afmc.common.shown import shown
from afmc.common.strict_json import read_object

NAME = "afmc_manifest.json"
MARK = ".afmc_unfinished"
"""A file in a folder that is being written, until its manifest is there."""
SCHEMA_VERSION = 1
_LARGEST = 1 << 26
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Made:
    """What a folder holds."""

    kind: str
    """``compile``, or the format that it was exported as."""
    model: str
    """As the user named it."""
    target: str

    def __str__(self) -> str:
        return f"the {shown(self.kind)} of {shown(self.model)} for {shown(self.target)}"


@dataclass(frozen=True)
class FileMade:
    """One file as it was when the folder was finished."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    made: Made
    files: Mapping[str, FileMade]
    """By path within the folder, with ``/`` between its parts."""


def read_manifest(folder: Path) -> Manifest | None:
    """None for a folder that afmc did not write, or did not finish."""
    try:
        data = read_object(folder / NAME, _LARGEST)
        if data["schema_version"] != SCHEMA_VERSION:
            return None
        made = Made(*(_line(data[key]) for key in ("kind", "model", "target")))
        files = {_path(each["path"]): _file(each) for each in data["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Manifest(made, files)


def write_manifest(folder: Path, made: Made, version: str) -> None:
    """Lists every file that is in the folder now, as made by this `version` of afmc."""
    tick = announced_after("hashing what was written")
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "afmc_version": version,
        "kind": made.kind,
        "model": made.model,
        "target": made.target,
        "files": [
            {
                "path": path,
                "bytes": (folder / path).stat().st_size,
                "sha256": digest(folder / path, tick),
            }
            for path in sorted(files_in(folder))
            if path not in (NAME, MARK)
        ],
    }
    unfinished = folder / f".{NAME}.unfinished"
    text = json.dumps(data, indent=1, ensure_ascii=False)
    unfinished.write_text(f"{text}\n", encoding="utf-8", errors="surrogateescape")
    unfinished.rename(folder / NAME)


def files_in(folder: Path) -> Iterable[str]:
    """Paths of everything below a folder that is no folder itself; links are not followed.

    Raises OSError where a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        links = (name for name in folders if os.path.islink(os.path.join(place, name)))
        for name in (*files, *links):
            yield Path(place, name).relative_to(folder).as_posix()


def digest(file: Path, tick: Callable[[], None] = lambda: None) -> str:
    """SHA-256, as hexadecimal digits; `tick` is called now and then."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
            tick()
    return found.hexdigest()


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _path(value: object) -> str:
    """A path that stays within the folder."""
    path = PurePosixPath(_line(value))
    if path.is_absolute() or not path.parts or ".." in path.parts or str(path) != value:
        raise ValueError("no path within the folder")
    return str(path)


def _file(value: Mapping[str, Any]) -> FileMade:
    if type(value["bytes"]) is not int:
        raise ValueError("no number of bytes")
    return FileMade(value["bytes"], _line(value["sha256"]))
