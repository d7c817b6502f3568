"""What an export in another program's format wrote, to be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Exported:
    place: Path
    """The file or folder."""
    what: str
    """In words, to stand before where it was written."""
    bytes: int
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many of what was written."""
    notes: tuple[str, ...] = ()
    """What a reader of it should know, in sentences: what it does not hold, or otherwise."""
    more: tuple[Path, ...] = ()
    """Files that were written besides."""
