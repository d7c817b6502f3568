"""Files and folders while they are written: beside their place, locked, and gone after a kill.

Their names are hidden and say which process writes. That process holds a lock, so what an earlier
one left behind when it was killed is told from what another is writing now.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from afmc.common.foreign import settle
from afmc.common.manifest import MARK, NAME

_LONGEST = 100
_OURS = re.compile(
    r"\.(?P<name>.+)\.(?P<process>\d+)-[0-9a-f]{8}\.(?P<state>unfinished|replaced)(\.\w+)?",
    re.DOTALL,
)
_YOUNG_S = 60
"""Within this, a process that lives may be about to take its lock."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def name_beside(place: Path, state: str = "unfinished", ending: str = "") -> Path:
    """A name that nothing has yet, in the same folder."""
    token = secrets.token_hex(4)
    return place.with_name(f".{_short(place.name)}.{os.getpid()}-{token}.{state}{ending}")


def _short(name: str) -> str:
    """The name itself unless that is too long to add to."""
    whole = os.fsencode(name)
    if len(whole) <= _LONGEST:
        return name
    return f"{os.fsdecode(whole[:_LONGEST])}{hashlib.sha256(whole).hexdigest()[:8]}"


def is_unfinished(folder: Path) -> bool:
    """Whether its name says that it is being written, or was when its process was killed."""
    found = _OURS.fullmatch(folder.name)
    return found is not None and found["state"] == "unfinished"


@contextmanager
def unfinished_folder(place: Path) -> Iterator[Path]:
    """A folder beside its place, which is gone afterwards unless it has been renamed."""
    repair(place)
    clear_abandoned(place.parent)
    folder = name_beside(place)
    with stopped_cleanly():
        folder.mkdir()
        held = _lock(folder)
        try:
            (folder / MARK).touch()
            yield folder
        finally:
            discard(folder, place)
            os.close(held)


@contextmanager
def unfinished_file(place: Path) -> Iterator[Path]:
    """An empty file beside its place, which is gone afterwards unless it has been renamed."""
    clear_abandoned(place.parent)
    file = name_beside(place, ending=place.suffix)
    with stopped_cleanly():
        file.touch(exist_ok=False)
        held = _lock(file)
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)
            os.close(held)


def repair(place: Path) -> None:
    """Puts back what a process had taken from this place when it was killed."""
    if os.path.lexists(place):
        return
    for found, match in _entries(place.parent):
        if match["state"] == "replaced" and match["name"] == _short(place.name):
            if _is_abandoned(found, int(match["process"])):
                found.rename(place)
                return


def clear_abandoned(parent: Path) -> None:
    """Removes what processes that were killed have left in a folder, as far as that is allowed."""
    for found, match in _entries(parent):
        place = parent / match["name"]
        if match["state"] == "replaced" and not os.path.lexists(place):
            continue  # all that is left of what was there; see `repair`
        with suppress(OSError):
            if _is_abandoned(found, int(match["process"])):
                if found.is_dir() and not found.is_symlink():
                    discard(found, place)
                elif match["state"] == "unfinished":
                    found.unlink()


def discard(folder: Path, place: Path) -> None:
    """Removes a folder beside `place`: one that is not finished, or one that `place` has replaced.

    What afmc did not write in it stays: at `place`, and where that is taken, here.
    """
    if (folder / MARK).is_file():
        _remove_all(folder)
    elif (folder / NAME).is_file():
        settle(folder, place)
    elif folder.is_dir():
        with suppress(OSError):
            folder.rmdir()


def _remove_all(folder: Path) -> None:
    """The mark goes last, so that what a kill leaves of it is told to be nobody's."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        elif each.name != MARK:
            with suppress(OSError):
                each.unlink()
    if os.listdir(folder) == [MARK]:
        (folder / MARK).unlink()
        folder.rmdir()


def _entries(parent: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        match = _OURS.fullmatch(name)
        if match is not None:
            yield parent / name, match


def _is_abandoned(path: Path, process: int) -> bool:
    """Whether nobody writes there any more."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return not _lives(process)
    finally:
        os.close(held)
    return not _lives(process) or time.time() - path.stat().st_mtime > _YOUNG_S


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _lock(path: Path) -> int:
    """An open descriptor that holds the path's lock, where its file system has locks."""
    held = os.open(path, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return held


class _Stopped(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stopped_cleanly() -> Iterator[None]:
    """Within it, a signal that ends the process ends it after the clean-up, with the same status.

    Signals that the program handles otherwise are left to it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL]

    def stop(number: int, _: FrameType | None) -> None:
        raise _Stopped(number)

    for each in ours:
        signal.signal(each, stop)
    try:
        yield
    except _Stopped as stopped:
        if stopped.number not in ours:
            raise  # to where it was set
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
        os.kill(os.getpid(), stopped.number)
        raise
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
