"""Exported programs in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from afmc.frontends.door import Reading, Source

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded


class Pt2:
    """Programs that torch.export wrote."""

    suffixes = (".pt2",)

    def find(self, path: Path) -> Path | None:
        return path if path.is_file() else None

    def load(self, source: Source, reading: Reading) -> Loaded:
        assert source.path is not None
        from afmc.frontends.programs.modules import from_file

        return from_file(source.path, source.name)
