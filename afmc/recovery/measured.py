"""Measurements that take minutes, kept in the cache as they come, so that they go on later."""

from __future__ import annotations

import hashlib
import json

from afmc.common.cache import cache_dir


class Measured:
    """Figures by name, of what `key` says: everything that they depend on."""

    def __init__(self, kind: str, *key: object) -> None:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        self._file = cache_dir() / kind / f"{name}.json"
        self.figures = self._read()

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        is_ours = isinstance(found, dict) and all(
            isinstance(value, float) and value >= 0 for value in found.values()
        )
        return found if is_ours else {}

    def __setitem__(self, name: str, value: float) -> None:
        """Keeps a figure, whole or not at all; a cache that cannot be written is done without."""
        self.figures[name] = value
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(self.figures), encoding="utf-8")
            unfinished.replace(self._file)
        except OSError:
            return
