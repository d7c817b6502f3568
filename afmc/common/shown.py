"""Text from files, as it may be printed."""

from __future__ import annotations

import json
import re
from unicodedata import category

_SUSPECT = re.compile(r"[^\n\x20-\x7e]")


def shown(text: str, longest: int = 100) -> str:
    """On one line, with control characters and the like escaped, and cut where it is long."""
    cut = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )


def escaped(text: str) -> str:
    """With control characters, marks that turn the direction of text, and halves of characters
    escaped; ends of lines stay."""
    return _SUSPECT.sub(
        lambda found: (
            found[0].encode("unicode_escape").decode() if _is_control(found[0]) else found[0]
        ),
        text,
    )


def escaped_json(text: str) -> str:
    """JSON with the same escaped as JSON does."""
    return _SUSPECT.sub(
        lambda found: json.dumps(found[0])[1:-1] if _is_control(found[0]) else found[0], text
    )


def _is_control(character: str) -> bool:
    kind = category(character)
    return kind.startswith("C") or kind in ("Zl", "Zp")
