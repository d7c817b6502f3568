"""Whether every file is as it was when the compile was finished, by the folder's manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afmc.verifier.report import Finding, counted, more
from afmc.verifier.strict import parse_json

MANIFEST = "afmc_manifest.json"
MODEL = "model"
_READS = 1
_CHUNK = 1 << 22


@dataclass(frozen=True)
class _Listed:
    size: int
    sha256: str


def unchanged(directory: Path, data: Mapping[str, Any], needed: tuple[str, ...]) -> Finding:
    """Files have the sizes and hashes of the manifest, which is of this program.

    `data` is program.json, `needed` are the files that must be listed. Those in the model's folder
    must be, too.
    """
    try:
        manifest = _read(directory / MANIFEST)
        listed = _files(manifest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Finding({}, (f"{MANIFEST} cannot be read: {reason or type(error).__name__}.",))
    problems = [*_other_program(manifest, data)]
    unlisted = [name for name in (*needed, *_in_model(directory)) if name not in listed]
    if unlisted:
        problems.append(f"{unlisted[0]!r} is not in {MANIFEST}{more(len(unlisted))}")
    wrong = [p for path, one in listed.items() if (p := _difference(directory, path, one))]
    if wrong:
        problems.append(wrong[0] + more(len(wrong)))
    counts = {"files": len(listed), "bytes": sum(one.size for one in listed.values())}
    return Finding(counts, tuple(problems))


def _read(file: Path) -> Mapping[str, Any]:
    manifest = parse_json(file.read_bytes())
    if not isinstance(manifest, dict) or manifest["schema_version"] != _READS:
        raise ValueError("it is no manifest")
    return manifest


def _files(manifest: Mapping[str, Any]) -> dict[str, _Listed]:
    found: dict[str, _Listed] = {}
    for each in manifest["files"]:
        path, size, sha256 = each["path"], each["bytes"], each["sha256"]
        parts = path.split("/")
        if path in found or not path or {"", ".", ".."} & {*parts}:
            raise ValueError(f"it lists {path[:80]!r} twice, or outside of the folder")
        if type(size) is not int or not isinstance(sha256, str):
            raise ValueError(f"it does not say what {path[:80]!r} holds")
        found[path] = _Listed(size, sha256)
    return found


def _other_program(manifest: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    target, model = data.get("target"), data.get("model")
    name = target.get("name") if isinstance(target, dict) else None
    mode = target.get("mode") if isinstance(target, dict) else None
    says = {
        "kind": "compile",
        "model": model.get("name") if isinstance(model, dict) else None,
        "target": f"{name}:{mode}" if mode else name,
        "afmc_version": data.get("afmc_version"),
    }
    for key, value in says.items():
        if manifest.get(key) != value:
            yield f"{MANIFEST} says {key} {manifest.get(key)!r}, but it should be {value!r}."


def _in_model(directory: Path) -> Iterator[str]:
    top = directory / MODEL
    for place, _, names in os.walk(top):
        for name in names:
            yield f"{MODEL}/{Path(place, name).relative_to(top).as_posix()}"


def _difference(directory: Path, path: str, one: _Listed) -> str | None:
    file = directory / path
    if not file.is_file():
        return f"{path!r} is in {MANIFEST}, but is not there"
    size = file.stat().st_size
    if size != one.size:
        return f"{path!r} has {counted(size, 'byte')}, but {one.size:,} in {MANIFEST}"
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != one.sha256:
        return f"{path!r} has another SHA-256 than in {MANIFEST}"
    return None
