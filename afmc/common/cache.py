"""Where afmc keeps what is expensive to make twice."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$XDG_CACHE_HOME/afmc``, or ``~/.cache/afmc`` where that is unset. Not created here."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "afmc"
