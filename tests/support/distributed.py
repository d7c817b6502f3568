"""Made-up distributions of weights and inputs."""

from __future__ import annotations

from dataclasses import replace

from afmc.program.compiled import CompiledProgram
from afmc.program.observed import OCTAVES, Distribution, Distributions


def with_distributions(artifact: CompiledProgram) -> CompiledProgram:
    """Every matrix has some, with as many inputs clipped as it has matrices before it."""
    even = (1 / (OCTAVES + 1),) * (OCTAVES + 1)
    found = {
        matrix.name: Distribution((0.0, *even), (1e-4 * index, *even))
        for index, matrix in enumerate(artifact.program.analog)
    }
    known = Distributions("letters.txt", "0" * 64, 1024, found)
    return replace(artifact, program=replace(artifact.program, distributions=known))
