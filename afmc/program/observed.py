"""What was seen of a model before it was mapped: training, ranges, distributions, routing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afmc.common.described import described
from afmc.program.model import Matrix

Scope = Literal["column", "tile"]


@dataclass(frozen=True)
class Training:
    """The hardware that a model was trained for, as its checkpoint says.

    Weights are clipped and quantised as it says before they are mapped; converters are those of
    the target, whatever is said here.
    """

    source: str = described("What says so.")
    input_steps: float | None = described(
        "Steps across the input converters' range, 254 for 8 bits; null: perfect converters."
    )
    output_steps: float | None = described(
        "Steps across the output converters' range; null: perfect converters."
    )
    output_bound: float | None = described(
        "Full scale of the output, in units of input range x w_max; null: nothing is clipped."
    )
    output_range: Scope = described("Over what w_max, the largest absolute weight, is taken.")
    ranges: Literal["static", "dynamic", "none"] = described(
        "Ranges of inputs: one for all tokens, one a token, or no clipping at all."
    )
    max_rows: int | None = described(
        "Rows of a slice, into as few of which a matrix was cut; null: matrices were not cut."
    )
    clip: Literal["none", "matrix", "column", "learned"] = described(
        "What the weights were clipped by: standard deviations of the whole matrix or of each "
        "column, or a learned limit of each column of a slice."
    )
    clip_sigma: float | None = described("So many standard deviations.")
    weight_noise: float = described(
        "Standard deviation that was added while training, as a share of w_max; 0: none."
    )
    weight_noise_of: Scope = described("Over what that w_max is taken.")
    weight_steps: float | None = described(
        "Steps of quantised weights, from -w_max to w_max; null: not quantised."
    )
    weight_steps_of: Scope = described("Over what that w_max is taken.")
    output_noise: float = described(
        "Standard deviation that was added while training, in units of input range x w_max."
    )


@dataclass(frozen=True)
class Calibration:
    """How the input ranges were found that the model did not bring along."""

    method: str
    """``std:18``: 18 standard deviations; ``percentile:99.99``: of the absolute values."""
    text: str
    """Name of the text, and the SHA-256 of what was read of it."""
    text_sha256: str
    tokens: int
    """Or samples, where the model's unit is an inference."""


OCTAVES = 8


@dataclass(frozen=True)
class Distribution:
    """How a matrix makes use of full scale, as shares of values by size, [OCTAVES + 2]: those above
    full scale, those from there down to more than a half of it, to more than a quarter, and so on,
    and the rest, of at most 2^-OCTAVES of it, which 8 bits do not tell from zero."""

    weights: tuple[float, ...]
    """Against the weight of full conductance of their column or crossbar."""
    inputs: tuple[float, ...] = ()
    """Against the range of the converters, which clip those above it; empty where not seen."""

    @property
    def clipped(self) -> float | None:
        """Share of the inputs that converters clip."""
        return self.inputs[0] if self.inputs else None


@dataclass(frozen=True)
class Distributions:
    """Distributions of the analog matrices; derived from the weights, and measured of inputs on a
    text."""

    text: str
    """Name of the text, and SHA-256 of what was read of it; empty where inputs were not seen."""
    text_sha256: str
    tokens: int
    matrices: Mapping[str, Distribution]


@dataclass(frozen=True, eq=False)
class Routing:
    """Which experts a sample of tokens went to."""

    source: str
    """Where the sample is from, in words."""
    experts: Mapping[str, NDArray[np.int32]]
    """Path of the experts' module -> [tokens, experts of a token], numbers of experts."""

    def shares(self, matrix: Matrix) -> NDArray[np.float64]:
        """How the uses of a bank spread over its experts, [copies], 1 in sum."""
        counts = self.counts(matrix)
        return counts / counts.sum()

    def counts(self, matrix: Matrix) -> NDArray[np.int64]:
        """Tokens that each expert of a bank got, [copies]."""
        return np.bincount(self.experts[matrix.module].ravel(), minlength=matrix.copies)
