"""Tiles to chips, in the order in which data flows, and to the tiles of each chip.

Chips are cut where the least traffic crosses. On stacked tiles, of which a tier is read at a time,
crossbars that are read together go to different tiles; chips that hold the same are solved once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from afmc.errors import CapacityError, OptionError
from afmc.ir import PLACEMENT, Placing, Program, Table
from afmc.passes.chips import cut_chain
from afmc.passes.experts import Sample, samples_of
from afmc.passes.flow import Flow, Real, Whole, bytes_across, flow_of
from afmc.passes.positions import on_network
from afmc.passes.slots import per_chip, slots
from afmc.passes.stacks import Stacks
from afmc.passes.waits import Waits, waits_of
from afmc.targets import Target


@dataclass(frozen=True)
class Place:
    strategy: Literal["balanced", "in_order"] = "balanced"
    """``balanced``: chips are cut where the least traffic crosses, and what is read at the same
    time goes to different tiles. ``in_order``: crossbar after crossbar, a tier of every tile before
    the next tier."""
    effort: int = 200
    """Changes that the local searches look at, in millions, at most."""
    tokens: int = 512
    """Tokens for which experts are drawn where the program has no routing, all equally likely."""
    seed: int = 0
    """Of these tokens, and of the searches."""

    def __call__(self, program: Program, target: Target) -> Program:
        if self.effort < 0 or self.tokens < 2 or self.seed < 0:
            raise OptionError(
                "place.effort and place.seed must not be negative, and place.tokens be at least 2."
            )
        table = program.allocations
        tiles = int(table["tile"].max(initial=-1)) + 1
        chips = _chips(program, target, tiles)
        free = slots(target, chips)
        flow = flow_of(program)
        cost = _border_cost(program, flow, tiles)
        sizes = np.bincount(free["chip"], minlength=chips)
        begin = np.concatenate([[0], np.cumsum(sizes)])
        if self.strategy == "balanced":
            cuts, border = cut_chain(cost, sizes)
        else:
            cuts = np.minimum(begin, tiles)
            border = float(cost[cuts[1:-1]].sum())
        chip = np.repeat(np.arange(chips), np.diff(cuts))
        in_order = begin[chip] + np.arange(tiles) - cuts[chip]
        samples, source = samples_of(program, self.tokens, self.seed)
        slot = in_order
        if self.strategy == "balanced" and target.tile.tiers > 1:
            stacks = Stacks(program, flow, samples, self.effort * 1_000_000, self.seed)
            slot = stacks.arranged(free, cuts, in_order)
        placements = _placed(table, free[slot])
        network = None
        if target.links is not None:
            whole = len(free) == chips * per_chip(target)  # else positions are not alike
            effort = self.effort * 1_000_000 if self.strategy == "balanced" and whole else 0
            network = on_network(program, flow, target, placements, target.links, effort)
            placements = network.placements
        waits = _waits(program, flow, free, slot, in_order, (samples, source), self.seed)
        placing = Placing(
            strategy=self.strategy,
            chips=chips,
            border_bytes=border,
            reads=waits.reads,
            reads_bound=waits.reads_bound,
            load=waits.load,
            load_bound=waits.load_bound,
            byte_hops=network.byte_hops if network else None,
            byte_hops_bound=network.bound if network else None,
            experts=waits.experts,
        )
        return replace(program, placements=placements, placing=placing)


def _chips(program: Program, target: Target, tiles: int) -> int:
    """The fewest that hold the tiles. Raises CapacityError when the system has less."""
    chips, available = -(-tiles // per_chip(target)), target.system.chips
    if available is not None and chips > available:
        arrays = "tiles" if target.tile.tiers == 1 else "tiers of tiles"
        raise CapacityError(
            f"{program.model.name} needs {chips} chips of {target.name} ({tiles} {arrays}, "
            f"{per_chip(target)} a chip), but the system has {available}: "
            f"{chips - available} missing.",
            chips,
            available,
        )
    return chips


def _border_cost(program: Program, flow: Flow, tiles: int) -> Real:
    """What a cut before each tile of the allocation sends across, in bytes a token."""
    groups, tile = len(program.groups), program.allocations["tile"].astype(np.int64)
    group = program.blocks["group"][program.allocations["block"]]
    first, last = np.full(groups, tiles), np.zeros(groups, np.int64)
    np.minimum.at(first, group, tile)
    np.maximum.at(last, group, tile)
    return bytes_across(flow, first, last, tiles)


def _placed(table: Table, where: Table) -> Table:
    """`where` is the slot of each tile of the allocation."""
    placements = np.zeros(len(table), PLACEMENT)
    for key in ("chip", "tile", "tier"):
        placements[key] = where[key][table["tile"]]
    for key in ("block", "row", "col"):
        placements[key] = table[key]
    return placements


def _waits(
    program: Program,
    flow: Flow,
    free: Table,
    slot: Whole,
    in_order: Whole,
    drawn: tuple[Mapping[int, Sample], str],
    seed: int,
) -> Waits:
    """By block: where it is, and where it would be in order."""
    of_block = np.empty(len(program.blocks), np.int64)
    of_block[program.allocations["block"]] = program.allocations["tile"]
    here, there = free[slot[of_block]], free[in_order[of_block]]
    tiles = int(free["tile"].max(initial=0)) + 1
    address = free["chip"].astype(np.int64) * tiles + free["tile"]
    alive = np.bincount(address, minlength=tiles * (int(free["chip"].max(initial=-1)) + 1)) > 0
    return waits_of(
        program,
        flow,
        chip=here["chip"].astype(np.int64),
        tile=here["tile"].astype(np.int64),
        in_order=there["tile"].astype(np.int64),
        tiles=alive.reshape(-1, tiles).sum(axis=1),
        samples=drawn[0],
        source=drawn[1],
        seed=seed,
    )
