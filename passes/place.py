"""Tiles to chips, in the order in which data flows, and to the tiles of each chip.

Chips are cut where the least traffic crosses. On stacked tiles, of which a tier is read at a time,
crossbars that are read together go to different tiles; chips that hold the same are solved once.

Dead crossbars are passed by. Where some have dead lines and so do not hold every tile, the order is
that of `afmc.passes.placing.around_defects.assign` on all chips, and nothing is balanced: which
tile fits where then decides both the cuts and the tiers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afmc.errors import CapacityError, OptionError
from afmc.hardware.crossbars import per_chip, slots
from afmc.passes.placing.around_defects import (
    MORE,
    Extents,
    assign,
    chips_needed,
    extents,
    most_chips,
)
from afmc.passes.placing.cut_into_chips import cut_chain
from afmc.passes.placing.experts import samples_of
from afmc.passes.placing.positions import on_network
from afmc.passes.placing.stacks import Stacks
from afmc.passes.placing.waits import Seats, waits_of
from afmc.program.flow import Flow, Real, Whole, bytes_across, flow_of
from afmc.program.program import PLACEMENT, Placing, Program, Table
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
    """Seed of these tokens, and of the searches."""

    def __call__(self, program: Program, target: Target) -> Program:
        if self.effort < 0 or self.tokens < 2 or self.seed < 0:
            raise OptionError(
                "place.effort and place.seed must not be negative, and place.tokens be at least 2."
            )
        table = program.allocations
        tiles = int(table["tile"].max(initial=-1)) + 1
        whole = np.broadcast_to(np.int64(0), (tiles, 2))  # where no crossbar has lost a line
        needs = whole if program.defects is None else extents(program)
        chips = _chips(program, target, needs)
        free = slots(target, chips, program.defects)
        flow = flow_of(program)
        sizes = np.bincount(free["chip"], minlength=chips)
        samples, source = samples_of(program, self.tokens, self.seed)
        fits = (free["rows"] >= needs[:, 0].max(initial=0)) & (
            free["cols"] >= needs[:, 1].max(initial=0)
        )
        strategy = self.strategy if fits.all() else "in_order"
        if fits.all():
            cost = _border_cost(program, flow, table["tile"], tiles)
            begin = np.concatenate([[0], np.cumsum(sizes)])
            if strategy == "balanced":
                cuts, border = cut_chain(cost, sizes)
            else:
                cuts = np.minimum(begin, tiles)
                border = float(cost[cuts[1:-1]].sum())
            chip = np.repeat(np.arange(chips), np.diff(cuts))
            slot = in_order = begin[chip] + np.arange(tiles) - cuts[chip]
            if strategy == "balanced" and target.tile.tiers > 1:
                stacks = Stacks(program, flow, samples, self.effort * 1_000_000, self.seed)
                slot = stacks.arranged(free, cuts, in_order)
        else:
            slot = in_order = assign(needs, free)
            cost = _border_cost(program, flow, free["chip"][slot][table["tile"]], chips)
            border = float(cost[1:-1].sum())
        placements = _placed(table, free, slot)
        network = None
        if target.links is not None:
            alike = len(free) == chips * per_chip(target)  # positions on all chips
            effort = self.effort * 1_000_000 if strategy == "balanced" and alike else 0
            network = on_network(program, flow, target, placements, target.links, effort)
            placements = network.placements
        seats = Seats(free, slot, in_order, _tile_of_block(program))
        waits = waits_of(program, flow, seats, samples, source, self.seed)
        placing = Placing(
            strategy=strategy,
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


def _chips(program: Program, target: Target, needs: Extents) -> int:
    """The fewest that hold the tiles. Raises CapacityError when the system has less."""
    chips, available = chips_needed(needs, target, program.defects), target.system.chips
    if chips is None or (available is not None and chips > available):
        raise _too_few(program, target, len(needs), chips)
    return chips


def _too_few(program: Program, target: Target, tiles: int, chips: int | None) -> CapacityError:
    """`chips` is how many it takes; None where no number is enough."""
    available, defects = target.system.chips, program.defects
    arrays = "tiles" if target.tile.tiers == 1 else "tiers of tiles"
    if chips is None:
        assert defects is not None
        tried = most_chips(tiles, target)
        return CapacityError(
            f"{program.model.name} needs {tiles} {arrays} of {target.name}, but {defects.name} "
            f"breaks so much that even {tried} chips, {MORE} times as many as without defects, "
            f"are not enough.",
            tried + 1,
            tried if available is None else available,
        )
    assert available is not None
    broken = ""
    if defects is not None:
        left = len(slots(target, available, defects))
        broken = f", of all of which {defects.name} leaves {left}"
    return CapacityError(
        f"{program.model.name} needs {chips} chips of {target.name} ({tiles} {arrays}, "
        f"{per_chip(target)} a chip{broken}), but the system has {available}: "
        f"{chips - available} missing.",
        chips,
        available,
    )


def _border_cost(program: Program, flow: Flow, place: Whole, count: int) -> Real:
    """What a cut before each place in a row sends across, in bytes a token, [count + 1].

    `place` is, for each line of the allocation, its tile or chip, of which there are `count`.
    """
    groups = len(program.groups)
    group = program.blocks["group"][program.allocations["block"]]
    first, last = np.full(groups, count), np.zeros(groups, np.int64)
    np.minimum.at(first, group, place)
    np.maximum.at(last, group, place)
    return bytes_across(flow, first, last, count)


def _placed(table: Table, free: Table, slot: Whole) -> Table:
    """`slot` is where each tile of the allocation is in `free`."""
    placements = np.zeros(len(table), PLACEMENT)
    here = slot[table["tile"]]
    for key in ("chip", "tile", "tier"):
        placements[key] = free[key][here]
    for key in ("block", "row", "col"):
        placements[key] = table[key]
    return placements


def _tile_of_block(program: Program) -> NDArray[np.int32]:
    tile = np.empty(len(program.blocks), np.int32)
    tile[program.allocations["block"]] = program.allocations["tile"]
    return tile
