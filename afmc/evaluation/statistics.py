"""Mean, spread and confidence interval over manufactured instances."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from scipy import special

from afmc.evaluation.results import Estimate

FEWEST = 3
"""Instances for an interval. Student's factor for two is 12.7: their interval would say next to
nothing, so their values are told instead."""


def estimate(figures: Iterable[float]) -> Estimate:
    """Estimate of a figure that cannot be negative: a perplexity, a divergence, an error.

    Its interval is Student's on the logarithm, so that both ends can be.
    """
    found = _estimate(figures)
    if not (half := _half(found)):
        return found
    width = math.exp(half / found.mean)
    return found.model_copy(update={"interval_95": (found.mean / width, found.mean * width)})


def estimate_share(figures: Iterable[float]) -> Estimate:
    """Estimate of a share. Its interval is Student's on the logit, which stays between 0 and 1."""
    found = _estimate(figures)
    if not (half := _half(found)):
        return found
    logit, width = special.logit(found.mean), half / (found.mean * (1 - found.mean))
    ends = (float(special.expit(logit - width)), float(special.expit(logit + width)))
    return found.model_copy(update={"interval_95": ends})


def estimate_signed(figures: Iterable[float]) -> Estimate:
    """Estimate of a figure that may be negative, whose spread has no interval that is told."""
    values = tuple(figures)
    mean = math.fsum(values) / len(values)
    std = statistics.stdev(values) if len(values) > 1 else None
    return Estimate(mean=mean, std=std, values=values)


def _estimate(figures: Iterable[float]) -> Estimate:
    """Mean, standard deviation (n - 1) and, where all values are the same, their interval."""
    values = tuple(figures)
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean=mean, values=values)
    # In units of the largest, because squares of large figures are beyond all numbers.
    unit = max(values) or 1.0
    squares = math.fsum(((value - mean) / unit) ** 2 for value in values)
    std = unit * math.sqrt(squares / (n - 1))
    interval = (mean, mean) if n >= FEWEST and len(set(values)) == 1 else None
    return Estimate(mean=mean, std=std, interval_95=interval, values=values)


def _half(found: Estimate) -> float:
    """Half of Student's 95 % interval of the mean on the figure's own scale; 0 without one.

    On a logarithm or logit g it is |g'(mean)| times as large, by the delta method (Meeker, Hahn and
    Escobar, Statistical Intervals, 2nd edition, 2017: Wald intervals of positive parameters and of
    probabilities).
    """
    n = len(found.values)
    if n < FEWEST or found.interval_95 is not None or not found.std:
        return 0.0
    return float(special.stdtrit(n - 1, 0.975)) * found.std / math.sqrt(n)
