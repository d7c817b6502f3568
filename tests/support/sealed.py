"""The manifest of a folder that a test has changed, for tests of what is looked at after hashes."""

from __future__ import annotations

import json
from pathlib import Path

from afmc.common.manifest import Made, read_manifest, write_manifest
from afmc.common.version import VERSION
from afmc.program.folder import PROGRAM, made_of
from afmc.targets import Target


def seal(folder: Path) -> Path:
    """Lists the files of a folder as they are now, as one who changed them on purpose would."""
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, _made(folder) or manifest.made, VERSION)
    return folder


def _made(folder: Path) -> Made | None:
    """What program.json says of itself, where it says that."""
    try:
        data = json.loads((folder / PROGRAM).read_text())
        return made_of("compile", data["model"]["name"], Target.model_validate(data["target"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
