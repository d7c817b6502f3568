"""afmc: a compiler from language models to analog in-memory computing tiles.

The names below load on first use, so that `import afmc` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from afmc.common.imported import import_after
from afmc.common.version import VERSION

if TYPE_CHECKING:
    from afmc.compiled_model import CompiledModel as CompiledModel
    from afmc.compiled_model import load as load
    from afmc.compiler.compile import compile as compile
    from afmc.errors import AfmcError as AfmcError
    from afmc.program.program import Program as Program
    from afmc.program.rules import problems as problems
    from afmc.simulator.devices.base import Device as Device
    from afmc.simulator.tile_linear import TileLinear as TileLinear
    from afmc.targets import Target as Target
    from afmc.targets import list_targets as list_targets
    from afmc.targets import load_target as load_target

__version__ = VERSION

import_after("torch", "afmc.lower.operators")  # which an exported graph calls

_HOME = {
    "AfmcError": "afmc.errors",
    "CompiledModel": "afmc.compiled_model",
    "Device": "afmc.simulator.devices.base",
    "Program": "afmc.program.program",
    "Target": "afmc.targets",
    "TileLinear": "afmc.simulator.tile_linear",
    "compile": "afmc.compiler.compile",
    "list_targets": "afmc.targets",
    "load": "afmc.compiled_model",
    "load_target": "afmc.targets",
    "problems": "afmc.program.rules",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'afmc' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
