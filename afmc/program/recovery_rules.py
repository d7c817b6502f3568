"""The rules of a legal recovery: what it names is there, and its figures are possible."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from afmc.program.program import Program


def recovery_problems(program: Program) -> Iterator[str]:
    """Every broken rule, in whole sentences with numbers."""
    recovery = program.recovery
    if recovery is None:
        return
    for what, names in (
        ("a limit", recovery.clips),
        ("directions", recovery.ranks),
        ("the cost", recovery.divergences),
        ("the choice to be digital", recovery.digital),
    ):
        for name in names:
            if name not in program.by_name:
                yield f"the recovery has {what} of {name}, which is no matrix."
    for name, rank in recovery.ranks.items():
        matrix = program.by_name.get(name)
        if matrix is not None and not 0 <= rank <= matrix.rows:
            yield f"{name} is corrected in {rank} directions, but has {matrix.rows} rows."
    for name, limit in recovery.clips.items():
        if not 0 < limit < inf:
            yield f"weights of {name} are cut at {limit} root mean squares."
    for name, cost in recovery.divergences.items():
        if not 0 <= cost < inf:
            yield f"{name} costs {cost} nats on tiles."
    for what, whole in (("expected", recovery.predicted), ("measured", recovery.together)):
        if whole is not None and not 0 <= whole < inf:
            yield f"{whole} nats are {what} of everything that was chosen."
    if program.digital is not None:
        for name in recovery.digital:
            if name in program.by_name and name not in program.digital:
                yield f"{name} is to be digital by the recovery, but is on tiles."
    rows = {matrix.input: matrix.rows for matrix in program.matrices}
    for activation in recovery.rotated:
        if activation not in rows:
            yield f"the recovery rotates {activation}, which no matrix reads."
    if recovery.ranks and recovery.reads < 1:
        yield f"corrections are measured with {recovery.reads} reads."
    if any(token < 0 for token in recovery.prefix):
        yield f"the prefix has the token {min(recovery.prefix)}."
