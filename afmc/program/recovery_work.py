"""What a recovery costs: digital work of a token, tensors that are kept, and reads of a chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from afmc.common.described import described
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.program.recovery import RecoveryStep
from afmc.program.rotation import Rotation


@dataclass(frozen=True)
class RecoverySummary:
    """What was done to recover accuracy, and what that costs. Derived from the program."""

    level: int = described("Level that was asked for, as with -O.")
    text: str = described("Text that was looked at.")
    steps: tuple[RecoveryStep, ...] = described("In the order in which they were taken.")
    prefix_tokens: int = described("Tokens before every sequence, computed once.", "tokens")
    rotation_additions: float = described(
        "Additions that rotate the inputs, for one token.", "additions"
    )
    rotation_macs: float = described(
        "Multiply-accumulates that rotate the inputs, for one token.", "multiply-accumulates"
    )
    correction_macs: float = described(
        "Multiply-accumulates of corrections, for one token.", "multiply-accumulates"
    )
    correction_share: float = described(
        "Those of rotations and corrections as a share of all matrices' multiply-accumulates."
    )
    correction_values: int = described("Numbers that are kept for corrections, for one chip.")
    reads: int = described(
        "Reads with which errors are measured on every chip, of each matrix on average.", "reads"
    )


def recovery_of(program: Program) -> RecoverySummary | None:
    """What the recovery of a program costs; None where there was none."""
    recovery = program.recovery
    if recovery is None:
        return None
    rotations = list(_rotated(program))
    macs = sum(use * rotation.macs for use, rotation in rotations)
    correction, values = 0.0, 0
    for readers in _by_input(program).values():
        ranks = [recovery.ranks.get(matrix.name, 0) for matrix in readers]
        widest = max(readers, key=lambda matrix: matrix.per_token)
        correction += widest.per_token * widest.rows * max(ranks)
        values += widest.rows * max(ranks)
        for matrix, rank in zip(readers, ranks, strict=True):
            correction += matrix.per_token * matrix.cols * rank
            values += matrix.copies * matrix.cols * (rank + (matrix.name in recovery.ranks))
    every = sum(matrix.macs_per_token for matrix in program.matrices)
    probes = [probes_of(rank, recovery.reads) for rank in recovery.ranks.values()]
    return RecoverySummary(
        level=recovery.level,
        text=recovery.text,
        steps=recovery.steps,
        prefix_tokens=len(recovery.prefix),
        rotation_additions=sum(use * rotation.additions for use, rotation in rotations),
        rotation_macs=macs,
        correction_macs=correction,
        correction_share=(macs + correction) / every if every else 0.0,
        correction_values=values,
        reads=round(sum(probes) / len(probes)) if probes else 0,
    )


def probes_of(rank: int, reads: int) -> int:
    """Reads of a matrix that is corrected in so many directions: a power of two."""
    return 1 << (max(LEAST_PROBES, reads * rank, rank + 1) - 1).bit_length()


LEAST_PROBES = 64
"""Reads with which the mean error of a matrix is measured, at least."""


def _by_input(program: Program) -> dict[str, list[Matrix]]:
    """Analog matrices by the activation that they read."""
    found: dict[str, list[Matrix]] = {}
    for matrix in program.analog:
        found.setdefault(matrix.input, []).append(matrix)
    return found


def _rotated(program: Program) -> Iterator[tuple[float, Rotation]]:
    """Each rotation of an activation that tiles read, and how often a token takes it."""
    assert program.recovery is not None
    for readers in _by_input(program).values():
        rotation = program.recovery.rotation_of(readers[0])
        if rotation is not None:
            yield max(matrix.per_token for matrix in readers), rotation
