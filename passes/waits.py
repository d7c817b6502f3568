"""What a placement makes a token wait for, and what no placement could undercut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from afmc.ir import ExpertWaits, Program
from afmc.passes.experts import Sample, at_random, least_wait, longest_wait
from afmc.passes.flow import Flow, Real, Whole


@dataclass(frozen=True)
class Waits:
    reads: float
    reads_bound: float
    load: float
    load_bound: float
    experts: ExpertWaits | None


def waits_of(
    program: Program,
    flow: Flow,
    chip: Whole,
    tile: Whole,
    in_order: Whole,
    tiles: Whole,
    samples: Mapping[int, Sample],
    source: str,
    seed: int,
) -> Waits:
    """`chip`, `tile` and `in_order` (another tile on that chip) are of each block, `tiles` how many
    each chip has."""
    group, copy = program.blocks["group"], program.blocks["copy"].astype(np.int64)
    width = int(max(tile.max(initial=0), in_order.max(initial=0))) + 1
    address, other = chip * width + tile, chip * width + in_order
    share = flow.share(group, program.blocks["copy"])
    uses = flow.uses[group] * share
    load = _totals(address, uses, 0)
    per_chip = _totals(chip, uses, len(tiles))
    reads = bound = 0.0
    waits = np.zeros(4)  # placed, bound, in order, at random
    tokens = 0
    by_stage = np.argsort(flow.stage[group], kind="stable")
    ends = np.searchsorted(flow.stage[group][by_stage], np.unique(flow.stage[group]))
    for members in np.split(by_stage, ends[1:]):
        banks = [each for each in np.unique(group[members]).tolist() if each in samples]
        plain = members[~np.isin(group[members], banks)] if banks else members
        if not banks:
            reads += float(_sums(address[plain], uses[plain])[1].max(initial=0.0))
            bound += _least(uses[plain], chip[plain], tiles)
            continue
        columns = (chip, copy, uses, share, address, other, tiles)
        for same in _alike(banks, samples):  # gate and up apart: one routing for both
            mine = members[np.isin(group[members], same)]
            found = np.asarray(_bank(samples[same[0]], mine, plain, columns, seed))
            waits += found
            reads, bound = reads + found[0], bound + found[1]
            tokens = len(samples[same[0]].held_out)
    experts = ExpertWaits(source, tokens, *waits.tolist()) if tokens else None
    return Waits(
        reads=_plain(float(reads)),
        reads_bound=_plain(float(bound)),
        load=_plain(float(load.max(initial=0.0))),
        load_bound=_plain(_load_bound(uses, per_chip, tiles)),
        experts=experts,
    )


def _alike(banks: list[int], samples: Mapping[int, Sample]) -> list[list[int]]:
    """The banks of a stage that a token goes through by one routing."""
    alike: dict[int, list[int]] = {}
    for bank in banks:
        alike.setdefault(id(samples[bank]), []).append(bank)
    return list(alike.values())


def _bank(
    sample: Sample,
    mine: Whole,
    plain: Whole,
    columns: tuple[Whole, Whole, Real, Real, Whole, Whole, Whole],
    seed: int,
) -> tuple[float, float, float, float]:
    """Mean longest wait of one bank on the held-out tokens: placed, bound, in order, at random."""
    chip, copy, uses, share, address, other, tiles = columns
    taken = sample.held_out
    chips, at = np.unique(chip[mine], return_inverse=True)
    held = np.zeros((taken.shape[1], len(chips)))
    np.add.at(held, (copy[mine], at.ravel()), share[mine])
    there = np.asarray([uses[plain][chip[plain] == each].sum() for each in chips.tolist()])
    least = least_wait(taken, held, tiles[chips], there)
    alone = len(np.unique(address[np.concatenate([mine, plain])])) == len(mine) + len(plain)
    if alone and share[mine].min() == 1.0:
        return 1.0, least, 1.0, 1.0  # a tile for each block
    found = []
    for bank, rest in (
        (address[mine], address),
        (other[mine], other),
        (at_random(address[mine], chip[mine], seed), address),
    ):
        names, reads = _counts(copy[mine], bank, share[mine], taken.shape[1])
        busy = dict(zip(*(each.tolist() for each in _sums(rest[plain], uses[plain])), strict=True))
        besides = np.asarray([busy.get(name, 0.0) for name in names.tolist()])
        found.append(longest_wait(taken, reads, besides))
    placed, in_order, dealt = found
    return placed, least, in_order, dealt


def _counts(copy: Whole, where: Whole, share: Real, copies: int) -> tuple[Whole, Real]:
    """The tiles that hold a bank, and their reads for each expert, when it is taken."""
    names, at = np.unique(where, return_inverse=True)
    reads = np.zeros((copies, len(names)))
    np.add.at(reads, (copy, at.ravel()), share)
    return names, reads


def _sums(where: Whole, uses: Real) -> tuple[Whole, Real]:
    names, at = np.unique(where, return_inverse=True)
    return names, _totals(at.ravel(), uses, len(names))


def _totals(where: Whole, uses: Real, least: int) -> Real:
    return np.asarray(np.bincount(where, uses, least), np.float64)


def _least(uses: Real, chip: Whole, tiles: Whole) -> float:
    """The most reads of one tile, on the chip that has most to do for its tiles."""
    names, total = _sums(chip, uses)
    share = total / tiles[names]
    if len(uses) and uses.min() == uses.max():
        share = np.ceil(share / uses[0] - 1e-9) * uses[0]
    return float(max(share.max(initial=0.0), uses.max(initial=0.0)))


def _load_bound(uses: Real, per_chip: Real, tiles: Whole) -> float:
    share = float((per_chip / np.maximum(tiles, 1)).max(initial=0.0))
    if len(uses) and uses.min() == uses.max():
        share = float(np.ceil(share / uses[0] - 1e-9) * uses[0])
    return max(share, float(uses.max(initial=0.0)))


def _plain(value: float) -> float:
    """Without the last digits, which depend on the order of additions."""
    return round(value, 6)
