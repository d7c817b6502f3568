"""What a compile does so that a model works on hardware that it was not trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afmc.common.described import described
from afmc.program.model import Matrix
from afmc.program.rotation import Rotation, rotation_of

STEPS = (
    "prefix", "rotation", "clipping", "wires", "ranges", "digital", "copies", "correction",
    "directions",
)  # fmt: skip
"""Steps by name, in the order in which they are taken; each can be left out."""


@dataclass(frozen=True)
class RecoveryStep:
    """One thing that was done, or the reason why it was not."""

    name: str = described(f"{', '.join(STEPS[:-1])} or {STEPS[-1]}.")
    applied: bool = described("Whether it was done.")
    said: str = described("What was done, or why not, in a sentence.")
    figures: Mapping[str, Any] = described("What it was done with, and what was measured.")


@dataclass(frozen=True)
class Recovery:
    """What was done to recover accuracy; without training, from the weights and a text."""

    level: int = described("Level that was asked for, as with -O.")
    text: str = described("Text that was looked at.")
    text_sha256: str = described("SHA-256 of what was read of that text.")
    steps: tuple[RecoveryStep, ...] = described(
        "In the order in which they were taken.", default=()
    )
    prefix: tuple[int, ...] = described(
        "Tokens whose keys and values, computed digitally once, stand before every sequence.",
        default=(),
    )
    rotated: tuple[str, ...] = described(
        "Activations that are rotated digitally before the converters.", default=()
    )
    rotation_seed: int = described("Decides the signs of rotations.", default=0)
    clips: Mapping[str, float] = described(
        "By matrix: weights beyond so many root mean squares of their column are cut to that.",
        default_factory=dict,
    )
    wires: bool = described(
        "Whether weights are written so that they come out behind the wires.", default=False
    )
    digital: tuple[str, ...] = described(
        "Matrices that the measured choice keeps digital.", default=()
    )
    divergences: Mapping[str, float] = described(
        "By matrix: KL divergence from the digital model where it alone is on tiles, with the mean "
        "error of its outputs corrected; measured, or where all such cost little, predicted.",
        "nats",
        default_factory=dict,
    )
    ranks: Mapping[str, int] = described(
        "By matrix: principal directions of its input in which its error is measured on each chip "
        "and taken back digitally.",
        default_factory=dict,
    )
    reads: int = described("Reads of every tile of a matrix for each of its directions.", default=0)

    predicted: float | None = described(
        "KL divergence from the digital model with everything that was chosen: that of each matrix "
        "by itself, over its copies, summed, less what corrections in directions take away.",
        "nats",
        default=None,
    )
    together: float | None = described(
        "The same, measured with everything at once, on chips on which nothing was chosen.",
        "nats",
        default=None,
    )

    def rotation_of(self, matrix: Matrix) -> Rotation | None:
        """What its input is rotated by; None where it is not."""
        return (
            rotation_of(matrix.rows, self.rotation_seed) if matrix.input in self.rotated else None
        )
