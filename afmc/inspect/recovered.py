"""What a recovery did for single matrices, and which of them cost most on tiles."""

from __future__ import annotations

from collections.abc import Iterator

from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.program.recovery import Recovery

DEAREST = 8
"""Matrices that are listed."""


def recovery_of_matrix(recovery: Recovery, matrix: Matrix) -> str:
    """In a sentence."""
    rotation, parts = recovery.rotation_of(matrix), []
    if rotation is not None:
        parts.append(f"its input is rotated ({rotation.additions:,.0f} additions)")
    if matrix.name in recovery.clips:
        limit = recovery.clips[matrix.name]
        parts.append(f"weights beyond {limit:g} root mean squares of their column are cut")
    if matrix.name in recovery.ranks:
        rank = recovery.ranks[matrix.name]
        parts.append(
            f"the mean error of its outputs is corrected on every chip, and that along {rank:,} "
            f"directions of its input"
            if rank
            else "the mean error of its outputs is corrected on every chip"
        )
    if matrix.name in recovery.divergences:
        cost = recovery.divergences[matrix.name]
        parts.append(f"alone on tiles it costs {cost:.2g} nats a token")
    return f"{'; '.join(parts)}." if parts else f"nothing is done for it at -O{recovery.level}."


def dearest(program: Program) -> Iterator[tuple[str, str, str, str]]:
    """Matrices that cost most by themselves: what they cost, how often they are there, and the
    directions in which they are corrected, or that they are digital."""
    recovery = program.recovery
    if recovery is None:
        return
    times = {name: max(g.replicas, default=1) for g in program.groups for name in g.members}
    costs = recovery.divergences
    for name in sorted(costs, key=lambda each: -costs[each])[:DEAREST]:
        on_tiles = name in times
        yield (
            name,
            f"{costs[name]:.2g}",
            f"{times[name]:,}" if on_tiles else "digital",
            f"{recovery.ranks.get(name, 0):,}" if on_tiles else "",
        )


def all_together(recovery: Recovery) -> str:
    """What everything that was chosen costs at once, beside what was expected; empty where that
    was not measured."""
    if recovery.together is None or recovery.predicted is None:
        return ""
    return (
        f"together they were expected to cost {recovery.predicted:.2g} nats a token, and cost "
        f"{recovery.together:.2g}, measured on chips on which nothing was chosen"
    )
