"""Texts that files hold, and that ``pytest --update-golden`` writes anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from doc_blocks import matches, merged


@dataclass(frozen=True)
class Golden:
    """Holds what was printed against files. In a file ``...`` stands for any text."""

    update: bool

    def lines(self, file: Path, printed: Sequence[str]) -> None:
        """Raises AssertionError for the first line of a file that was not printed like that."""
        shown = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        if matches(shown, list(printed)):
            return
        if self.update:
            fresh = merged(shown, list(printed))
            file.write_text("".join(f"{line}\n" for line in fresh), encoding="utf-8")
            return
        pairs = zip(shown, printed, strict=False)
        wrong = [(ours, theirs) for ours, theirs in pairs if not matches([ours], [theirs])]
        ours, theirs = wrong[0] if wrong else (f"{len(shown)} lines", f"{len(printed)} lines")
        raise AssertionError(f"{file.name} has\n  {ours}\nbut this was printed:\n  {theirs}")
