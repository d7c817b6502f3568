"""Mean, spread and confidence interval over manufactured instances."""

from __future__ import annotations

import math
from collections.abc import Iterable

from scipy import special

from afmc.evaluation.results import Estimate


def estimate(figures: Iterable[float]) -> Estimate:
    """Mean, standard deviation (n - 1) and Student's 95 % confidence interval of the mean."""
    values = tuple(figures)
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean=mean, values=values)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(special.stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
    return Estimate(mean=mean, std=std, interval_95=(mean - half, mean + half), values=values)
