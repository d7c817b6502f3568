"""Texts that files hold, and that ``pytest --update-golden`` writes anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from doc_blocks import matches, merged


@dataclass(frozen=True)
class Golden:
    """Holds what was printed against files. In a file ``...`` stands for any text."""

    update: bool

    def lines(self, file: Path, printed: Sequence[str]) -> None:
        """Raises AssertionError, with the difference, where something else was printed."""
        shown = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if matches(shown, list(printed)):
            return
        fresh = merged(shown, list(printed))
        if self.update:
            file.write_text("".join(f"{line}\n" for line in fresh), encoding="utf-8")
            return
        difference = "\n".join(unified_diff(shown, fresh, file.name, "printed", lineterm="", n=1))
        raise AssertionError(difference)
