"""How much memory a process took, and may still take."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import psutil

GIB = 2**30

_CONTROL_GROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files of versions 2 and 1: the most that a container may use, and what it does."""


def available_bytes(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """What the machine has free without swapping, or less where a control group limits it."""
    free = psutil.virtual_memory().available
    for limit, usage in _CONTROL_GROUPS:
        most, used = _number(groups / limit), _number(groups / usage)
        if most is not None and used is not None:
            free = min(free, max(0, most - used))
    return int(free)


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The largest resident size of this process so far.

    Not getrusage's where there is better: that of a process which was started by another one
    begins with the other's.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _number(file: Path) -> int | None:
    """None without the file, and where it says ``max``."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
