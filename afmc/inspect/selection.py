"""Which matrices a name means."""

from __future__ import annotations

from fnmatch import fnmatchcase

from afmc.errors import OptionError, did_you_mean
from afmc.program.model import Matrix, matches, names_of
from afmc.program.program import Program


def select(program: Program, name: str, option: str) -> tuple[Matrix, ...]:
    """The matrices of a name or pattern, in dataflow order.

    A name is what ``--digital`` takes (a module's path, its last part or a parameter's name, with
    ``*``, ``?`` and ``[0-9]``), the path of a module that holds others, or a group of merged
    matrices as `afmc inspect` writes it. Raises OptionError, naming `option`, if nothing has it.
    """
    merged = {
        member
        for group in program.groups
        if len(group.members) > 1 and fnmatchcase(group.name, name)
        for member in group.members
    }
    chosen = tuple(
        matrix
        for matrix in program.matrices
        if matches(matrix, name) or matches(matrix, f"{name}.*") or matrix.name in merged
    )
    if not chosen:
        known = {each for matrix in program.matrices for each in names_of(matrix)}
        known |= {path for matrix in program.matrices for path in _above(matrix.module)}
        raise OptionError(
            f"{option} {name!r} matches none of the {len(program.matrices)} matrices of "
            f"{program.model.name}.{did_you_mean(name, sorted(known))}"
        )
    return chosen


def _above(path: str) -> list[str]:
    """The paths of the modules that a module is in."""
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
