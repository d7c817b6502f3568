"""Which matrices stay digital, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from afmc.errors import OptionError, did_you_mean
from afmc.program.model import Matrix, fits_tiles, matches, names_of
from afmc.program.program import Program
from afmc.targets import Target


@dataclass(frozen=True)
class Partition:
    digital: tuple[str, ...] = ()
    """Patterns of more matrices to keep digital: a module's path, its last part or a parameter's
    name, with ``*``, ``?`` and ``[0-9]``. ``lm_head``, ``*.o_proj``, ``model.layers.0.*``. For a
    bank of experts also the last part of the parameter's name: ``down_proj``."""

    def __call__(self, program: Program, target: Target) -> Program:
        digital: dict[str, str] = {}
        for matrix in program.matrices:
            if matrix.chooses:
                digital[matrix.name] = (
                    "what it computes is ranked, as a router's scores are: noise would change the "
                    "choice"
                )
            elif not fits_tiles(matrix):
                kind = matrix.layer.rpartition(".")[2] or "the model itself"
                digital[matrix.name] = (
                    f"its product is part of {kind}, which a tile cannot stand in for"
                )
        if program.recovery is not None:
            for name in program.recovery.digital:
                cost = program.recovery.divergences[name]
                digital[name] = f"chosen by -O3: on tiles it costs {cost:.2g} nats a token"
        for pattern in self.digital:
            for matrix in chosen_by(pattern, program):
                digital.setdefault(matrix.name, f"kept digital by the pattern {pattern!r}")
        if len(digital) == len(program.matrices):
            raise OptionError(
                f"nothing of {program.model.name} is left for the tiles: "
                f"all of its {len(digital)} matrices stay digital."
            )
        return replace(program, digital=digital)

    def keeping(self, patterns: Sequence[str]) -> Mapping[str, object]:
        return {"digital": (*self.digital, *patterns)}


def chosen_by(pattern: str, program: Program) -> list[Matrix]:
    """The matrices that a pattern is about. Raises OptionError where there is none."""
    chosen = [matrix for matrix in program.matrices if matches(matrix, pattern)]
    if not chosen:
        known = sorted({name for matrix in program.matrices for name in names_of(matrix)})
        raise OptionError(
            f"--digital {pattern!r} matches none of the {len(program.matrices)} matrices "
            f"of {program.model.name}.{did_you_mean(pattern, known)}"
        )
    return chosen
