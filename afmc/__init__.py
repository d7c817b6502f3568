"""afmc: a compiler from language models to analog in-memory computing tiles.

The names below load on first use, so that `import afmc` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afmc.compiled import CompiledModel as CompiledModel
    from afmc.compiled import load as load
    from afmc.compiler import compile as compile
    from afmc.errors import AfmcError as AfmcError
    from afmc.ir import Program as Program
    from afmc.problems import problems as problems
    from afmc.simulator.device import Device as Device
    from afmc.simulator.layer import TileLinear as TileLinear
    from afmc.targets import Target as Target
    from afmc.targets import list_targets as list_targets
    from afmc.targets import load_target as load_target

__version__ = "0.1.0"

_HOME = {
    "AfmcError": "afmc.errors",
    "CompiledModel": "afmc.compiled",
    "Device": "afmc.simulator.device",
    "Program": "afmc.ir",
    "Target": "afmc.targets",
    "TileLinear": "afmc.simulator.layer",
    "compile": "afmc.compiler",
    "list_targets": "afmc.targets",
    "load": "afmc.compiled",
    "load_target": "afmc.targets",
    "problems": "afmc.problems",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'afmc' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
