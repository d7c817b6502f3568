"""Files and folders that afmc writes: whole or not at all, and over nothing but its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from afmc.common.exchange import exchange
from afmc.common.foreign import foreign, keep
from afmc.common.manifest import MARK, NAME, Made, read_manifest, write_manifest
from afmc.common.shown import shown
from afmc.common.unfinished import name_beside, repair, unfinished_file, unfinished_folder
from afmc.errors import AfmcError, OptionError

_HEAD = 1 << 16
_WITHIN = 512
"""Bytes that a path of a file in a folder, or beside it while it is written, adds at most."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that afmc writes."""

    what: str
    """In words, with an article: ``an HTML page of afmc``."""
    is_one: Callable[[Path], bool]
    """Whether a file that is there is of this kind; may raise OSError."""


def begins(*starts: bytes, has: bytes = b"") -> Callable[[Path], bool]:
    """Whether a file begins with one of these, and has something in its first 64 KiB."""

    def look(file: Path) -> bool:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
        return head.startswith(starts) and has in head

    return look


def check_file(file: Path, kind: Kind, option: str = "-o", *, parents: bool = False) -> bool:
    """Whether a file of this kind that is there will be replaced.

    Raises OptionError, in one sentence, where it cannot be written, and where something else is in
    its place: what afmc did not write, a part of a compile, a file of another kind. With `parents`
    its folder need not be there yet.
    """
    place, named = _real(file, OptionError, option), f"{option} {file}".strip()
    if place.is_dir():
        raise OptionError(f"{named} is a folder; name a file in it.")
    parent = place.parent
    if parents:
        parent = next(each for each in place.parents if os.path.lexists(each))
    if not parent.is_dir():
        raise OptionError(f"{named}: there is no folder {file.parent}; make it first.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OptionError(f"{named}: the folder {file.parent} cannot be written to.")
    for folder in place.parents:
        manifest = read_manifest(folder) if (folder / NAME).is_file() else None
        if manifest is not None:
            path = place.relative_to(folder)
            tops = {name.partition("/")[0] for name in manifest.files}
            if str(path) == NAME or path.parts[0] in tops:
                raise OptionError(f"{named} belongs to {manifest.made}; name another file.")
    if not os.path.lexists(place):
        return False
    if not place.is_file():
        raise OptionError(f"{named} is there and is no file; name another one.")
    try:
        empty = not place.stat().st_size
        if not empty and not kind.is_one(place):
            raise OptionError(
                f"{named} is there and is not {kind.what}; name another file, or remove it first."
            )
    except OSError as error:
        raise OptionError(f"{named} cannot be read: {error.strerror}.") from error
    return not empty


@contextmanager
def written(file: Path, kind: Kind, option: str = "-o", *, parents: bool = False) -> Iterator[Path]:
    """A file beside its place to write to, which takes that place when nothing was raised.

    Raises OptionError in one sentence where `check_file` does, and where the system refuses.
    """
    check_file(file, kind, option, parents=parents)
    place = _real(file, OptionError, option)
    try:
        if parents:
            place.parent.mkdir(parents=True, exist_ok=True)
        with unfinished_file(place) as unfinished:
            yield unfinished
            unfinished.replace(place)
    except OSError as error:
        named = f"{option} {file}".strip()
        raise OptionError(f"{named} cannot be written: {error.strerror or error}.") from error


def check_folder(
    directory: Path,
    made: Made,
    names: tuple[str, ...] = (),
    *,
    force: bool = False,
    refusal: type[AfmcError] = OptionError,
) -> Made | None:
    """What is in a folder that afmc wrote, which will be replaced; None where there is nothing.

    Files that afmc did not write in such a folder stay; `names` are those at its top that the new
    ones will have. Raises `refusal`, in one sentence, where the folder cannot be written, where
    afmc did not write what is in it, and without `force` where that is of another model or target.
    """
    place = _real(directory, refusal)
    put_back(place)
    parent = next(each for each in place.parents if os.path.lexists(each))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise refusal(f"{parent} cannot be written to; name another folder with -o.")
    if len(os.fsencode(place)) + _WITHIN > os.pathconf(parent, "PC_PATH_MAX"):
        raise refusal(
            f"-o {shown(str(directory))} leaves no room for names of files in it; name a folder "
            f"with a shorter path."
        )
    if not os.path.lexists(place):
        return None
    if not place.is_dir():
        raise refusal(f"{directory} is a file; name a folder with -o.")
    if Path.cwd().is_relative_to(place):
        raise refusal("the folder that you are in cannot be replaced; name another with -o.")
    try:
        manifest = read_manifest(place)
        others = foreign(place)
        if manifest is None and not any(place.iterdir()):
            return None
    except OSError as error:
        raise refusal(f"{directory} cannot be read: {error.strerror}.") from error
    if manifest is None:
        raise refusal(
            f"{directory} has files in it that afmc did not write; name another folder with -o."
        )
    there = manifest.made
    if there.kind != made.kind:
        raise refusal(f"{directory} holds {there}; name another folder with -o.")
    if (there.model, there.target) != (made.model, made.target) and not force:
        raise refusal(
            f"{directory} holds {there}, and this is {made}; name another folder with -o, or "
            f"replace it with --force."
        )
    for path in others:
        if path in names:
            raise refusal(
                f"{directory / path} is something that afmc did not write, in a place that it "
                f"needs; move it elsewhere."
            )
    return there


@contextmanager
def written_folder(
    directory: Path,
    made: Made,
    version: str,
    *,
    force: bool = False,
    refusal: type[AfmcError] = OptionError,
) -> Iterator[Path]:
    """A folder beside its place to write to, which takes that place when nothing was raised.

    It then has a manifest. What afmc wrote at `directory` before is gone then, and stays otherwise;
    what others put there stays. Raises `refusal` in one sentence where `check_folder` does, and
    where the system refuses.
    """
    check_folder(directory, made, force=force, refusal=refusal)
    place = _real(directory, refusal)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(place) as unfinished:
            yield unfinished
            finish(unfinished, made, version, place if place.is_dir() else None)
            _take_place(unfinished, place)
    except (OSError, SafetensorError) as error:
        raise refusal(f"{directory} cannot be written: {_reason(error)}.") from error


def finish(unfinished: Path, made: Made, version: str, replaced: Path | None = None) -> None:
    """Completes a folder that is to be renamed to its place: permissions, manifest, and what afmc
    did not write in the folder that is `replaced`. Raises OSError."""
    _as_umask_says(unfinished)
    write_manifest(unfinished, made, version)
    if replaced is not None:
        keep(replaced, unfinished)
        unfinished.chmod(replaced.stat().st_mode & 0o7777)
    (unfinished / MARK).unlink()


def put_back(directory: Path) -> None:
    """Puts a folder in its place again, where it was being replaced when afmc was killed."""
    with suppress(OSError, ValueError):
        repair(Path(os.path.realpath(directory)))


def kept_beside(directory: Path) -> list[str]:
    """Files in a folder of afmc that afmc did not write, by their path within it."""
    return foreign(Path(os.path.realpath(directory)))


def _take_place(unfinished: Path, place: Path) -> None:
    if not os.path.lexists(place) or not os.listdir(place):
        unfinished.rename(place)
    elif not exchange(unfinished, place):
        replaced = name_beside(place, "replaced")
        place.rename(replaced)
        try:
            unfinished.rename(place)
        except BaseException:
            replaced.rename(place)
            raise
        replaced.rename(unfinished)


def _as_umask_says(folder: Path) -> None:
    """The permissions of the mark, which was made as any file is; some writers set their own."""
    mode = (folder / MARK).stat().st_mode & 0o777
    for place, folders, files in os.walk(folder):
        for name in files:
            os.chmod(Path(place, name), mode)
        for name in folders:
            os.chmod(Path(place, name), mode | (mode & 0o444) >> 2)


def _real(path: Path, refusal: type[AfmcError], option: str = "-o") -> Path:
    """Where a path leads, so that a link to it stays one. Raises `refusal` for what cannot be."""
    try:
        real = Path(os.path.realpath(path))
        os.stat(real)
    except (FileNotFoundError, NotADirectoryError):
        return real
    except (OSError, ValueError) as error:  # too long, a link to itself, a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise refusal(f"{option} {shown(str(path))} cannot be written: {reason}.") from error
    return real


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error).rstrip(".")
    return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
