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
    the absolute values; 100 is the largest. ``error``: the range with which the products through
    the target's converters are least wrong, `afmc.recovery.ranges`.
    """

    kind: Literal["std", "percentile", "error"]
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Method:
        if text == "error":
            return cls("error")
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
            f"calibration {text!r} is not 'error', 'std:K' with K above 0 or 'percentile:P' with P "
            f"above 0 and at most 100, for instance std:18 or percentile:99.99."
        )

    def __str__(self) -> str:
        return self.kind if self.kind == "error" else f"{self.kind}:{self.value:g}"
