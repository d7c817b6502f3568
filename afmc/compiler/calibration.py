"""How input ranges are found that a model does not bring along."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from afmc.errors import OptionError


@dataclass(frozen=True)
class Method:
    """How a range follows from the activations that a matrix reads.

    ``std:K``: K standard deviations, the initialisation of analog foundation models, K = 18
    (Büchel et al., NeurIPS 2025, released configuration). ``percentile:P``: the P-th percentile of
    the absolute values; 100 is the largest.
    """

    kind: Literal["std", "percentile"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Method:
        kind, _, number = text.partition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if kind == "std" and 0 < value < math.inf:
            return cls("std", value)
        if kind == "percentile" and 0 < value <= 100:
            return cls("percentile", value)
        raise OptionError(
            f"calibration {text!r} is not 'std:K' with K above 0 or 'percentile:P' with P above 0 "
            f"and at most 100, for instance std:18 or percentile:99.99."
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.value:g}"
