"""What a recovery takes of every token: rotations before the tiles, corrections after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from afmc.costs.figures import Figures
from afmc.costs.parts import Part
from afmc.program.model import Matrix
from afmc.program.program import Group, Program
from afmc.program.recovery_work import recovery_of
from afmc.program.rotation import Rotation

ROTATING, CORRECTING = "rotating inputs", "corrections"
READING_CORRECTIONS = "reading corrections"
_BYTES = 2
"""Of a number that is kept for corrections; assumed, half precision."""


@dataclass(frozen=True)
class RecoveryTime:
    """How much longer the product of a group takes."""

    rotating_ns: float
    correcting_ns: float

    @property
    def ns(self) -> float:
        return self.rotating_ns + self.correcting_ns


def recovery_parts(program: Program, figures: Figures) -> Iterator[Part]:
    """Energy of a token, by kind of work. Corrections are read from a memory on the chip."""
    found = recovery_of(program)
    if found is None or not (program.recovery and (found.rotation_additions or found.reads)):
        return
    add, mac = figures["digital.add_energy_pJ"], figures["digital.mac_energy_fJ"]
    if found.rotation_additions or found.rotation_macs:
        yield Part(
            ROTATING, "digital", found.rotation_additions, "additions", add,
            found.rotation_additions * add.value * 1e-3 + found.rotation_macs * mac.value * 1e-6,
        )  # fmt: skip
    if found.correction_macs:
        yield Part(
            CORRECTING, "digital", found.correction_macs, "multiply-accumulates", mac,
            found.correction_macs * mac.value * 1e-6,
        )  # fmt: skip
        byte = figures["cache.on_chip_energy_pJ_B"]
        read = _BYTES * found.correction_macs  # each number is used once
        yield Part(READING_CORRECTIONS, "memory", read, "bytes", byte, read * byte.value * 1e-3)


def recovery_time(program: Program, group: Group, figures: Figures, read_ns: float) -> RecoveryTime:
    """Rotations are adders in stages, before the read; projections on directions and their errors
    are computed while the tiles are read, and added at the end."""
    recovery = program.recovery
    if recovery is None:
        return RecoveryTime(0.0, 0.0)
    members = [program.by_name[name] for name in group.members]
    add = figures["digital.add_latency_ns"].value
    rotation = recovery.rotation_of(members[0])
    rotating = add * _stages(rotation) if rotation is not None else 0.0
    if not any(name in recovery.ranks for name in group.members):
        return RecoveryTime(rotating, 0.0)
    computing = 2e-3 * _macs(program, members) / figures["digital.attention_TOPS"].value
    return RecoveryTime(rotating, add + max(0.0, computing - read_ns))


def _stages(rotation: Rotation) -> int:
    """Adders that a value passes: a tree over each factor."""
    return sum((factor.size - 1).bit_length() for factor in rotation.factors)


def _macs(program: Program, members: list[Matrix]) -> float:
    """Of one product with all of them."""
    assert program.recovery is not None
    ranks = [program.recovery.ranks.get(matrix.name, 0) for matrix in members]
    added = sum(matrix.cols * rank for matrix, rank in zip(members, ranks, strict=True))
    return float(members[0].rows * max(ranks) + added)
