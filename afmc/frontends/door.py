"""The door for frontends: kinds of models that can be read, built in or from other packages.

A frontend comes in by the entry-point group ``afmc.frontends``, as a class that is made without
arguments. Finding a model imports no torch, so that a mistake is said at once: a frontend imports
what it loads with in `load`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from afmc.common.plug_ins import plug_ins
from afmc.errors import OptionError

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded

GROUP = "afmc.frontends"

FOLDER = "/"
"""In the place of a suffix: folders of any name."""

HUGGINGFACE = "huggingface"
"""The frontend that ids of the hub and configurations go to, and folders that no other takes."""

Weights = Literal["auto", "memory", "disk"]
"""Where weights are while a model is compiled; by itself on disk where they are too large."""


@dataclass(frozen=True)
class Source:
    """A model that exists here, or a hub id that may exist there."""

    name: str
    """As the user wrote it."""
    frontend: str
    """The name of the frontend that reads it."""
    path: Path | None = None
    """The folder or the file; None for a hub id."""


@dataclass(frozen=True)
class Reading:
    """How a model is read, for frontends that can choose."""

    revision: str | None = None
    """A branch, tag or commit of a hub id."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    weights: Weights = "auto"
    """Where weights are meanwhile."""
    log: Callable[[str], None] = lambda line: None
    """Is told about slow steps, and about what is in the file and not used."""


class Frontend(Protocol):
    """A kind of model that can be read."""

    suffixes: tuple[str, ...]
    """Ends of the names of its files, in lower case and with the dot, and `FOLDER` where it reads
    folders of any name. No two frontends have a suffix in common."""

    def find(self, path: Path) -> Path | None:
        """What `load` reads of an existing path, or None if it is not of this kind after all.

        Imports no torch. Raises ModelError, in one sentence, for what can be seen to be wrong
        without reading all of it.
        """
        ...

    def load(self, source: Source, reading: Reading) -> Loaded:
        """Reads what was found. Raises ModelError, in one sentence, for what is wrong with it."""
        ...


def list_frontends() -> dict[str, Frontend]:
    """Frontends by name, in the order in which they are asked, that of Hugging Face last.

    Raises OptionError where one fails, or where two have a name or a suffix in common.
    """
    found = plug_ins(GROUP, "frontend")
    frontends: dict[str, Frontend] = {}
    places: dict[str, str] = {}
    for name in sorted(found, key=lambda name: (name == HUGGINGFACE, name)):
        where, kind = found[name]
        try:
            frontends[name] = kind()
            suffixes = tuple(frontends[name].suffixes)
        except (Exception, SystemExit) as error:  # whatever a plug-in raises
            raise OptionError(f"the frontend {name!r} ({where}) failed: {error!r}.") from error
        for method in ("find", "load"):
            if not callable(getattr(frontends[name], method, None)):
                raise OptionError(f"the frontend {name!r} ({where}) has no method {method!r}.")
        for suffix in suffixes:
            if suffix in places and suffix != FOLDER:
                raise OptionError(
                    f"two packages read {suffix} files: {places[suffix]} and {where}; uninstall"
                    " one."
                )
            places[suffix] = where
    return frontends
