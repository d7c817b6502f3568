"""ONNX files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from afmc.common.install import install
from afmc.errors import ModelError
from afmc.frontends.door import Reading, Source

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded


class Onnx:
    """Networks in ONNX files."""

    suffixes = (".onnx",)

    def find(self, path: Path) -> Path | None:
        return path if path.is_file() else None

    def load(self, source: Source, reading: Reading) -> Loaded:
        assert source.path is not None
        if find_spec("onnx") is None:
            raise ModelError(
                f'reading {source.name} needs the package onnx: run "{install("onnx")}".'
            )
        from afmc.frontends.onnx.load import load

        return load(source.path, source.name)
