"""Text from files, as it may be printed."""

from __future__ import annotations


def shown(text: str, longest: int = 100) -> str:
    """On one line, with control characters and the like escaped, and cut where it is long."""
    cut = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )
