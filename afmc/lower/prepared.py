"""What a program does digitally to weights before they are written, and to inputs."""

from __future__ import annotations

from afmc.program.program import Program
from afmc.program.rotation import Rotation
from afmc.simulator.prepare import AS_IT_IS, Preparation, Rotate


def preparations(program: Program) -> dict[str, Preparation]:
    """By matrix; those that rotate alike share what they rotate with."""
    recovery = program.recovery
    if recovery is None:
        return dict.fromkeys(program.by_name, AS_IT_IS)
    rotates: dict[Rotation, Rotate] = {}
    found = {}
    for matrix in program.matrices:
        rotation = recovery.rotation_of(matrix)
        rotate = None if rotation is None else rotates.setdefault(rotation, Rotate(rotation))
        found[matrix.name] = Preparation(rotate, recovery.clips.get(matrix.name))
    return found
