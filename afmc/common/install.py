"""How what is missing is installed: from the clone that afmc came from, where there is one."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse


def install(extra: str = "") -> str:
    """The command that installs an extra: ``pip install '.[onnx]'`` in a clone."""
    clone = find_clone()
    where = "afmc" if clone is None else "." if clone == Path.cwd() else str(clone)
    what = f"{where}[{extra}]" if extra else where
    return f"pip install '{what}'"


def find_clone() -> Path | None:
    """The clone of the repository that afmc runs from or was installed from, if it is here."""
    return next(filter(_is_clone, (Path(__file__).resolve().parents[2], *_installed_from())), None)


def _installed_from() -> list[Path]:
    try:
        said = metadata.distribution("afmc").read_text("direct_url.json") or "{}"
        url = urlparse(str(json.loads(said).get("url", "")))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return []
    return [Path(unquote(url.path))] if url.scheme == "file" else []


def _is_clone(folder: Path) -> bool:
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found.get("project", {}).get("name") == "afmc")
