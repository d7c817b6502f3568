"""Replicas whose products are averaged: what they leave of errors follows, and the bound is one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from afmc.verifier.disk import Replication
from afmc.verifier.mapped import Mapped

_MOST = 8
"""Replicas of a matrix that a choice may have."""
_NEAR = 1e-6
_STEPS = 200


def averaging(mapped: Mapped, said: Replication) -> Iterator[str]:
    """The sums of divergences, and that no choice within the budget has less than the bound."""
    program = mapped.program
    costs = {} if program.recovery is None else program.recovery.divergences
    missing = [m.name for m in program.analog if m.name not in costs]
    if missing:
        yield f"replicas are for accuracy, but what {missing[0]} costs was not measured."
        return
    alone = [sum(costs[name] for name in group.members) for group in program.groups]
    shares = [_share(group.replicas) for group in program.groups]
    left = sum(cost * share for cost, share in zip(alone, shares, strict=True))
    for key, claimed, follows in (
        ("divergence", said.divergence, left),
        ("divergence_alone", said.divergence_alone, sum(alone)),
    ):
        if not math.isclose(claimed, follows, rel_tol=_NEAR, abs_tol=1e-12):
            yield f"replication.{key} is {claimed:g}, but {follows:g} is what follows."
    first = mapped.blocks["replica"] == 0
    blocks = np.bincount(mapped.blocks["group"][first], minlength=len(alone))
    proven = _highest(alone, blocks.tolist(), said.budget)
    if said.divergence_bound > min(proven, left) * (1 + _NEAR) + 1e-12:
        yield (
            f"replication.divergence_bound is {said.divergence_bound:g}, but no more than "
            f"{min(proven, left):g} can be proved."
        )
    optimal = said.divergence_bound >= said.divergence * (1 - 1e-9)
    if (said.status == "OPTIMAL") != optimal:
        yield (
            f"replication.status is {said.status}, with {said.divergence:g} nats and a bound of "
            f"{said.divergence_bound:g}."
        )


def _share(replicas: Sequence[int]) -> float:
    """What the mean over replicas leaves, as the mean over copies."""
    return sum(1 / n for n in replicas) / len(replicas) if replicas else 1.0


def _highest(alone: Sequence[float], blocks: Sequence[int], budget: int) -> float:
    """The largest Lagrangian bound over all prices of a crossbar, which is concave in the price."""
    counts = np.arange(1, _MOST + 1)
    costs, sizes = np.asarray(alone)[:, None] / counts, np.asarray(blocks)[:, None] * counts

    def bound(price: float) -> float:
        return float((costs + price * sizes).min(axis=1).sum()) - price * budget

    low, high = 0.0, max(alone, default=0.0)
    for _ in range(_STEPS):
        third = (high - low) / 3
        if bound(low + third) < bound(high - third):
            low += third
        else:
            high -= third
    return max(bound(low), bound(high), bound(0.0))
