"""``afmc export --as mlir``: the digital part of a compiled folder as a file of MLIR."""

from __future__ import annotations

import re
from pathlib import Path

from afmc.common.files import Kind, begins, check_file, written
from afmc.compiled_model import load
from afmc.errors import OptionError
from afmc.export import Exported
from afmc.export.recovered import notes_on_recovery
from afmc.mlir.calls import NAMESPACE
from afmc.mlir.lowering import Dialect, check_dialect, lower
from afmc.mlir.packages import require
from afmc.program.folder import read_program, require_weights

ENDING = ".mlir"
CODE = Kind("MLIR that afmc wrote", begins(b"#", b"module", has=f"{NAMESPACE}.model".encode()))


def export_mlir(directory: Path | str, file: Path | str, dialect: Dialect = "linalg") -> Exported:
    """Writes what `lower` makes of a compiled model; see there.

    Raises OptionError where the file cannot be written or torch-mlir is missing, ArtifactError for
    a compile without weights, ModelError for what cannot be lowered.
    """
    directory, file = Path(directory), Path(file)
    if not file.is_dir() and file.suffix != ENDING:
        raise OptionError(f"-o {file}: name a file that ends in {ENDING}.")
    check_dialect(dialect)
    check_file(file, CODE)
    require("torch_mlir", "--as mlir")
    kept = read_program(directory)
    require_weights(kept.program, "MLIR")
    text = lower(load(directory, kept=kept), dialect)
    with written(file, CODE) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    counts = {
        "functions": len(re.findall(r"^  func\.func private ", text, re.MULTILINE)),
        "calls": len(re.findall(rf"\bcall @\"?{NAMESPACE}\.", text)),
        "tensors": text.count(f"{NAMESPACE}.tensor = "),
    }
    what = f"{counts['calls']:,} calls of {counts['functions']:,} matrices on tiles"
    notes = notes_on_recovery(kept.program, "MLIR outside of the functions of matrices")
    return Exported(file, what, len(text.encode()), counts, notes)
