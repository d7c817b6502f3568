"""GGUF files: converted to a folder of transformers, and read as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from afmc.errors import ModelError
from afmc.frontends.door import Reading, Source

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded


class Gguf:
    """Language models in GGUF files."""

    suffixes = (".gguf",)

    def find(self, path: Path) -> Path | None:
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        if magic != b"GGUF":
            raise ModelError(f"{path} is not a GGUF file: it does not begin with 'GGUF'.")
        return path

    def load(self, source: Source, reading: Reading) -> Loaded:
        from afmc.frontends.huggingface.load import load

        return load(source, weights=reading.weights, log=reading.log)
