"""Models of transformers: a folder, or an id of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import check_folder
from afmc.frontends.door import FOLDER, Reading, Source

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded


class HuggingFace:
    """Folders of transformers, also those of AIHWKIT-Lightning, and ids of the hub."""

    suffixes = (FOLDER, ".json")

    def find(self, path: Path) -> Path:
        if path.is_file():
            raise ModelError(
                f"{path} is a configuration without weights: add --shapes-only (shapes_only=True)"
                " to map its shapes alone, or give the folder that holds the weights."
            )
        check_folder(path)
        return path

    def load(self, source: Source, reading: Reading) -> Loaded:
        from afmc.frontends.huggingface.load import load

        return load(
            source,
            trust_remote_code=reading.trust_remote_code,
            revision=reading.revision,
            weights=reading.weights,
            log=reading.log,
        )
