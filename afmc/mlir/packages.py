"""The packages behind the extra ``afmc[mlir]``."""

from __future__ import annotations

from importlib import import_module

from afmc.common.install import install
from afmc.errors import OptionError


def require(module: str, purpose: str) -> None:
    """Raises OptionError, which says what to install, where a package is missing."""
    try:
        import_module(module)
    except ImportError as error:
        package = {
            "torch_mlir": "torch-mlir",
            "iree.compiler": "iree-base-compiler",
            "iree.runtime": "iree-base-runtime",
        }[module]
        raise OptionError(
            f'{purpose} needs the package {package}: run "{install("mlir")}".'
        ) from error
