"""The digital part of a compiled model as MLIR, in which analog products are calls."""

from afmc.mlir.executable import Executable
from afmc.mlir.exporting import export_mlir
from afmc.mlir.lowering import DIALECTS, Dialect, lower

__all__ = ["DIALECTS", "Dialect", "Executable", "export_mlir", "lower"]
