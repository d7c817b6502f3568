"""What is said of the use of experts and replicas, and of tiles that wait for one another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from afmc.verifier.averaging import averaging
from afmc.verifier.disk import Group, Replication
from afmc.verifier.intervals import numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted, more

_DENOMINATOR = 1_000_000
"""Uses for a token are quotients of counts, no larger than this, that went through a float."""
_NEAR = 1e-5


def routing(mapped: Mapped) -> Finding:
    """Every token of the sample goes to as many experts as it takes, all of them different."""
    if mapped.program.routing is None:
        return Finding({}, notes=("the program has no routing",), skipped=True)
    problems = [
        each for name, array in mapped.routing.items() for each in _bank(mapped, name, array)
    ]
    tokens = max(map(len, mapped.routing.values()), default=0)
    return Finding({"banks": len(mapped.routing), "tokens": tokens}, tuple(problems))


def _bank(mapped: Mapped, name: str, experts: NDArray[np.generic]) -> Iterator[str]:
    bank = next((m for m in mapped.program.matrices if m.module == name and m.copies > 1), None)
    if bank is None:
        yield f"the routing has {name}, which is no bank of experts."
        return
    wanted = np.dtype("<i4")
    if experts.ndim != 2 or experts.dtype != wanted or experts.shape[1] != bank.per_token:
        shape = " x ".join(map(str, experts.shape))
        yield (
            f"the routing of {name} is {shape} of {experts.dtype}, but must be one row a token of "
            f"{bank.per_token:g} 32-bit whole numbers."
        )
        return
    if not len(experts):
        yield f"the routing of {name} has no tokens."
    chosen = experts.astype(np.int64)
    outside = ((chosen < 0) | (chosen >= bank.copies)).any(axis=1)
    if outside.any():
        at = int(outside.argmax())
        yield (
            f"token {at} goes to the experts {_list(chosen[at])} of {name}, which has "
            f"{bank.copies:,}, counted from 0{more(int(outside.sum()))}"
        )
    ordered = np.sort(chosen, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        at = int(twice.argmax())
        yield (
            f"token {at} goes to one of the experts {_list(chosen[at])} of {name} more than once"
            f"{more(int(twice.sum()))}"
        )


def _list(numbers: NDArray[np.int64]) -> str:
    return ", ".join(map(str, numbers.tolist()))


def replication(mapped: Mapped) -> Finding:
    """Replicas keep within their budget and save what is said of them."""
    said, groups = mapped.program.replication, mapped.program.groups
    if said is None:
        replicated = [group.name for group in groups if any(n > 1 for n in group.replicas)]
        if replicated:
            problem = f"{replicated[0]} has replicas, of which program.json says nothing"
            return Finding({}, (problem + more(len(replicated)),))
        return Finding({}, notes=("the program has no replicas",), skipped=True)
    uses = [_uses(mapped, group) for group in groups]
    once = [tuple(1 for _ in each) for each in uses]
    ours = [group.replicas or ones for group, ones in zip(groups, once, strict=True)]
    if said.objective == "accuracy":
        ours = once  # all of them at every use
    blocks = len(mapped.areas)
    problems = [
        f"replication.{key} is {claimed:,}, but {follows:,} is what follows."
        for key, claimed, follows in (
            ("turns", said.turns, _turns(said, uses, ours)),
            ("turns_alone", said.turns_alone, _turns(said, uses, once)),
            ("crossbars", said.crossbars, blocks),
        )
        if claimed != follows
    ]
    if said.crossbars > said.budget:
        problems.append(
            f"the replicas take {counted(said.crossbars, 'crossbar')}, but the budget is "
            f"{said.budget:,}."
        )
    if said.lower_bound > said.turns:
        problems.append(
            f"replication.lower_bound is {said.lower_bound:,}, above the {said.turns:,} turns."
        )
    proven = said.lower_bound == said.turns
    if said.objective != "accuracy" and (said.status == "OPTIMAL") != proven:
        problems.append(
            f"replication.status is {said.status}, but it takes {counted(said.turns, 'turn')} and "
            f"the lower bound is {said.lower_bound:,}."
        )
    notes: tuple[str, ...] = (
        f"not proved again: that at least {counted(said.lower_bound, 'turn')} are needed",
    )
    if said.objective == "throughput":
        problems += _not_proven(mapped, said, uses)
        notes = ()
    elif said.objective == "accuracy":
        problems += averaging(mapped, said)
        notes = ()
    replicas = int((mapped.blocks["replica"] > 0).sum())
    counts = {"blocks of replicas": replicas, "turns": said.turns, "without": said.turns_alone}
    return Finding(counts, tuple(problems), notes)


def _uses(mapped: Mapped, group: Group) -> tuple[Fraction, ...]:
    """Products of each copy for one token: by the routing, or of all copies alike."""
    matrix = mapped.program.by_name[group.members[0]]
    together = Fraction(matrix.per_token).limit_denominator(_DENOMINATOR)
    if matrix.module not in mapped.routing:
        return (together / group.copies,) * group.copies
    experts = mapped.routing[matrix.module].astype(np.int64).ravel()
    counts = np.bincount(experts, minlength=group.copies)
    total = int(counts.sum())
    return tuple(together * Fraction(int(count), total) for count in counts)


def _turns(
    said: Replication, uses: list[tuple[Fraction, ...]], replicas: list[tuple[int, ...]]
) -> int:
    """Turns of the group that takes most, or of all one after the other."""
    of_group = [
        max(max(1, math.ceil(said.tokens * n / r)) for n, r in set(zip(*pair, strict=True)))
        for pair in zip(uses, replicas, strict=True)
    ]
    return max(of_group) if said.objective == "throughput" else sum(of_group)


def _not_proven(
    mapped: Mapped, said: Replication, uses: list[tuple[Fraction, ...]]
) -> Iterator[str]:
    """One turn less than the bound would have to take more crossbars than there are."""
    fewer = said.lower_bound - 1
    if fewer < 1:
        return
    first = (mapped.blocks["copy"] == 0) & (mapped.blocks["replica"] == 0)
    blocks = np.bincount(mapped.blocks["group"][first], minlength=len(uses)).tolist()
    needed = 0
    for of_replica, of_copies in zip(blocks, uses, strict=True):
        replicas = [max(1, math.ceil(said.tokens * n / fewer)) for n in of_copies]
        needed += of_replica * sum(replicas)
    if needed <= said.budget:
        yield (
            f"the replication says at least {counted(said.lower_bound, 'turn')}, but {fewer:,} "
            f"would take {counted(needed, 'crossbar')} of {said.budget:,}."
        )


def placing(mapped: Mapped) -> Finding:
    """The placement's figures follow where they can be counted, and no bound is above its value."""
    said = mapped.program.placing
    if said is None:
        return Finding({}, notes=("the program says nothing of its placement",), skipped=True)
    problems = []
    chips = int(mapped.placed["chip"].max(initial=-1)) + 1
    if said.chips != chips:
        problems.append(f"placing.chips is {said.chips:,}, but the blocks are on {chips:,}.")
    load = _load(mapped)
    if not math.isclose(said.load, load, rel_tol=_NEAR):
        problems.append(f"placing.load is {said.load:g}, but the busiest tile has {load:g} reads.")
    for what, (value, bound) in said.reached.items():
        if bound > value + _NEAR:
            problems.append(f"placing says at least {bound:g} {what}, but reaches {value:g}.")
    counts = {"chips": chips, "figures with a bound": len(said.reached)}
    notes = ("not counted again: border_bytes, reads, byte_hops, waits for experts",)
    return Finding(counts, tuple(problems), notes)


def _load(mapped: Mapped) -> float:
    """Reads a token of the tile that has most, its tiers one after the other."""
    shares = [
        mapped.program.by_name[group.members[0]].per_token / group.copies
        for group in mapped.program.groups
    ]
    holders = mapped.holders
    of_copy = np.repeat(np.asarray(shares), holders.copies)
    said = mapped.program.replication
    all_at_once = said is not None and said.objective == "accuracy"
    of_replica = of_copy if all_at_once else of_copy / holders.replicas
    reads = np.repeat(of_replica, holders.replicas)[mapped.holder]
    tile, _ = numbered(mapped.placed["chip"], mapped.placed["tile"])
    return float(np.bincount(tile, weights=reads).max(initial=0.0))
