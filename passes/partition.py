"""Which matrices stay digital, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from afmc.errors import OptionError, did_you_mean
from afmc.ir import Matrix, Program
from afmc.targets import Target

# Layers that compute x @ W + b and nothing else, so that a tile can stand in for them.
REPLACEABLE = ("torch.nn.modules.linear.Linear", "transformers.pytorch_utils.Conv1D")


@dataclass(frozen=True)
class Partition:
    digital: tuple[str, ...] = ()
    """Patterns of more matrices to keep digital: a module's path, its last part or a parameter's
    name, with ``*``, ``?`` and ``[0-9]``. ``lm_head``, ``*.o_proj``, ``model.layers.0.*``."""

    def __call__(self, program: Program, target: Target) -> Program:
        digital: dict[str, str] = {}
        for matrix in program.matrices:
            if matrix.layer not in REPLACEABLE:
                kind = matrix.layer.rpartition(".")[2] or "the model itself"
                digital[matrix.name] = (
                    f"its product is part of {kind}, which a tile cannot stand in for"
                )
            elif matrix.copies > 1:
                digital[matrix.name] = "a bank of experts is not lowered yet"
        for pattern in self.digital:
            chosen = [m for m in program.matrices if _matches(m, pattern)]
            if not chosen:
                names = sorted({name for m in program.matrices for name in _names(m)})
                raise OptionError(
                    f"--digital {pattern!r} matches none of the {len(program.matrices)} matrices "
                    f"of {program.model.name}.{did_you_mean(pattern, names)}"
                )
            for matrix in chosen:
                digital.setdefault(matrix.name, f"kept digital by the pattern {pattern!r}")
        if len(digital) == len(program.matrices):
            raise OptionError(
                f"nothing of {program.model.name} is left for the tiles: "
                f"all of its {len(digital)} matrices stay digital."
            )
        return replace(program, digital=digital)


def _names(matrix: Matrix) -> Iterable[str]:
    return (matrix.module, matrix.module.rsplit(".", 1)[-1], matrix.name)


def _matches(matrix: Matrix, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in _names(matrix))
