"""Modules that are imported as soon as another one is, and not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def import_after(name: str, then: str) -> None:
    """Imports the module `then` right after `name`, which is now if that is there already."""
    if name in sys.modules:
        import_module(then)
    else:
        sys.meta_path.insert(0, _After(name, then))


class _After:
    """Finds what all others find, and sees to it that more is imported afterwards, once."""

    def __init__(self, name: str, then: str) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path)
        spec = next((found for found in others if found is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                import_module(self.then)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
