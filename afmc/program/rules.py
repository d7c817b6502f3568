"""The rules of a legal program, as a table that runs.

`problems(program, target)` lists every broken rule in whole sentences with numbers. It runs after
every pass and shares no code with the passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

from afmc.hardware.defect_map import DefectMap
from afmc.program.observed import Routing
from afmc.program.program import Placing, Program, Replication, Table
from afmc.program.recovery_rules import recovery_problems
from afmc.targets import Target

_AT_ONCE = 1 << 20  # blocks that are looked at together, for the memory that this takes
_SPARSE = 8  # times as many numbers as values, up to which they are counted in an array


def problems(program: Program, target: Target, legal: Program | None = None) -> Iterator[str]:
    """Every broken rule. A program that has not come so far yet breaks no later rule.

    `legal` is a program in which none was found, on the same target: rules about tables that are
    the very same there are not looked at again. Tables cannot be written to.
    """
    yield from _matrices(program)
    yield from _work(program)
    yield from recovery_problems(program)
    if program.routing is not None:
        yield from routing_problems(program, program.routing)
    if program.digital is not None:
        yield from _partition(program)
    if program.groups:
        yield from _groups(program)
    if program.groups and not _same(program, legal, "groups", "blocks", "replication"):
        yield from _replicas(program)
    if len(program.blocks) and not _same(program, legal, "groups", "blocks"):
        yield from _cover(program, target)
    if program.allocation is not None and not _same(
        program, legal, "blocks", "allocation", "allocations"
    ):
        yield from _allocation(program)
    if len(program.placements):
        yield from _placements(program, target)
        if program.placing is not None:
            yield from _placing(program, program.placing)


def _same(program: Program, legal: Program | None, *facts: str) -> bool:
    """Whether these facts are the very same objects in both."""
    return legal is not None and all(getattr(program, f) is getattr(legal, f) for f in facts)


def _matrices(program: Program) -> Iterator[str]:
    names = [matrix.name for matrix in program.matrices]
    if len(set(names)) != len(names):
        yield f"{len(names) - len(set(names))} matrices have a name that another one has."
    for matrix in program.matrices:
        if min(matrix.rows, matrix.cols, matrix.copies) < 1:
            yield f"{matrix.name} is {matrix.rows} x {matrix.cols} x {matrix.copies}."
        for each in (matrix.input_range, *matrix.slice_ranges):
            if each is not None and not 0 < each < float("inf"):
                yield f"{matrix.name} has the input range {each}."
        if matrix.slice_ranges and matrix.input_range != max(matrix.slice_ranges):
            yield (
                f"{matrix.name} has the input range {matrix.input_range}, but that of a slice is "
                f"{max(matrix.slice_ranges)}."
            )
        if len(matrix.slice_ranges) > matrix.rows > 0:
            yield f"{matrix.name} has {len(matrix.slice_ranges)} ranges for {matrix.rows} rows."


def _work(program: Program) -> Iterator[str]:
    for work in program.work:
        if work.after and work.after not in program.by_name:
            yield f"{work.kind} comes after {work.after}, which is no matrix."
        if work.window is not None and work.window < 1:
            yield f"{work.kind} after {work.after or 'the input'} looks at {work.window} positions."
        for amount in (work.values, work.by_position, work.cached):
            if not 0 <= amount < float("inf"):
                yield f"{work.kind} after {work.after or 'the input'} is {amount} values."


def routing_problems(program: Program, routing: Routing) -> Iterator[str]:
    """One row a token, of as many experts as it takes, none of them twice."""
    banks = {m.module: m for m in program.matrices if m.copies > 1}
    for module, experts in routing.experts.items():
        if module not in banks:
            yield f"the routing has {module}, which is no bank of experts."
            continue
        last, wanted = banks[module].copies - 1, banks[module].per_token
        if experts.ndim != 2 or experts.dtype != np.int32 or experts.shape[1] != wanted:
            shape = " x ".join(map(str, experts.shape))
            yield (
                f"the routing of {module} is {shape} of {experts.dtype}, but should be 32-bit "
                f"integers, {wanted:g} a token."
            )
            continue
        outside = (experts < 0) | (experts > last)
        if not len(experts):
            yield f"the routing of {module} has no tokens."
        elif outside.any():
            yield f"the routing of {module} has {int(outside.sum())} experts outside 0 to {last}."
        twice = (np.diff(np.sort(experts, axis=1), axis=1) == 0).any(axis=1)
        if twice.any():
            count = int(twice.sum())
            some = "1 token goes" if count == 1 else f"{count} tokens go"
            yield f"{some} to an expert of {module} twice."


def _partition(program: Program) -> Iterator[str]:
    unknown = set(program.digital or {}) - set(program.by_name)
    if unknown:
        yield f"{len(unknown)} digital matrices do not exist, {min(unknown)} among them."


def _groups(program: Program) -> Iterator[str]:
    wanted = sorted(matrix.name for matrix in program.analog)
    placed = sorted(name for group in program.groups for name in group.members)
    if wanted != placed:
        yield f"the groups hold {len(placed)} matrices, but {len(wanted)} are analog."
        return
    for group in program.groups:
        members = [program.matrix(name) for name in group.members]
        if {(m.rows, m.copies) for m in members} != {(group.rows, group.copies)}:
            yield f"the members of {group.name} do not all have {group.rows} rows."
        if sum(m.cols for m in members) != group.cols:
            yield f"the members of {group.name} do not add up to {group.cols} columns."
        if len({m.drive for m in members}) != 1:
            yield f"the members of {group.name} read different inputs or ranges."


def _replicas(program: Program) -> Iterator[str]:
    """What the replicas of each group save, and that they keep within the budget."""
    for group in program.groups:
        if group.replicas and (len(group.replicas) != group.copies or min(group.replicas) < 1):
            yield f"{group.name} has {group.copies} copies, but replicas {group.replicas}."
            return
    claim = program.replication
    if claim is None:
        if any(group.replicas for group in program.groups):
            yield "there are replicas, but no word of why."
        return
    turns = []
    for group in program.groups:
        uses, replicas = program.uses_of(group), group.replicas or (1,) * group.copies
        if program.averaged:
            replicas = (1,) * group.copies
        shared = set(zip(uses, replicas, strict=True))
        turns.append(max(max(1, ceil(claim.tokens * n / r)) for n, r in shared))
    found = max(turns) if claim.objective == "throughput" else sum(turns)
    if found != claim.turns:
        yield f"the replication says {claim.turns} turns, but its replicas need {found}."
    if claim.crossbars != len(program.blocks):
        yield f"the replication says {claim.crossbars} blocks, but there are {len(program.blocks)}."
    if claim.crossbars > claim.budget:
        yield f"the replication takes {claim.crossbars} crossbars of {claim.budget}."
    if claim.lower_bound > claim.turns:
        yield f"the bound of {claim.lower_bound} turns is above the {claim.turns} that are needed."
    if claim.objective == "accuracy":
        yield from _averages(program, claim)
    elif (claim.status == "OPTIMAL") != (claim.lower_bound == claim.turns):
        yield f"status {claim.status} with {claim.turns} turns and bound {claim.lower_bound}."


def _averages(program: Program, claim: Replication) -> Iterator[str]:
    """What the mean over replicas leaves of errors, as measured without them."""
    known = {} if program.recovery is None else program.recovery.divergences
    value, alone, bound = claim.divergence, claim.divergence_alone, claim.divergence_bound
    missing = [m.name for m in program.analog if m.name not in known]
    if missing or value is None or alone is None or bound is None:
        yield "replicas are for accuracy, but not all that they save was measured."
        return
    found = {True: 0.0, False: 0.0}
    for group in program.groups:
        mine = sum(known[name] for name in group.members)
        found[False] += mine
        found[True] += mine * group.mean_share
    for what, claimed, is_ in (("with", value, found[True]), ("without", alone, found[False])):
        if abs(claimed - is_) > 1e-6 * max(1e-9, abs(is_)):
            yield f"the replication says {claimed:g} nats {what} replicas, but it is {is_:g}."
    if bound > value * (1 + 1e-9):
        yield f"the bound of {bound:g} nats is above the {value:g} of the replicas."
    if (claim.status == "OPTIMAL") != (bound >= value * (1 - 1e-9)):
        yield f"status {claim.status} with {value:g} nats and bound {bound:g}."


def _cover(program: Program, target: Target) -> Iterator[str]:
    """Every weight in exactly one block, every block inside a crossbar."""
    blocks = program.blocks
    known = (blocks["group"] >= 0) & (blocks["group"] < len(program.groups))
    if not known.all():
        yield f"{int((~known).sum())} blocks belong to no group."
        return
    large = (blocks["rows"] > target.crossbar.rows) | (blocks["cols"] > target.crossbar.columns)
    if large.any():
        first = blocks[int(large.argmax())]
        yield (
            f"{int(large.sum())} blocks do not fit a crossbar of {target.crossbar.rows} x "
            f"{target.crossbar.columns}; the first is {first['rows']} x {first['cols']}."
        )
    blocks, starts = _by_owner(blocks)
    counts = np.diff(np.append(starts, len(blocks)))
    owners = np.stack([blocks[key][starts] for key in ("group", "copy", "replica")], axis=1)
    expected = _owners(program)
    if len(owners) != len(expected):
        yield f"the blocks belong to {len(owners)} matrices, but {len(expected)} are analog."
        return
    other = np.any(owners[np.lexsort(owners.T[::-1])] != expected, axis=1)
    if other.any():
        group = program.groups[int(expected[other.argmax()][0])]
        yield f"the copies and replicas of {group.name} are not numbered from 0 on."
        return
    shapes = {(group.rows, group.cols): n for n, group in enumerate(program.groups)}
    shape = np.asarray([shapes[group.rows, group.cols] for group in program.groups])
    # Equal matrices are cut equally: look at each way of cutting once.
    kinds = np.stack([shape[blocks["group"][starts]], counts], axis=1)
    of_kind, first, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    for kind, ((_, count), model) in enumerate(zip(of_kind.tolist(), first, strict=True)):
        mine = starts[which.ravel() == kind]
        other = mine[~_cut_alike(blocks, mine, int(starts[model]), count)]
        checked = set()
        for start in [int(starts[model]), *other.tolist()]:
            layout = blocks[start : start + count]
            key = np.ascontiguousarray(layout[["row", "col", "rows", "cols"]]).tobytes()
            if key in checked:
                continue
            checked.add(key)
            group = program.groups[int(layout["group"][0])]
            if not _covers_once(layout, group.rows, group.cols):
                yield f"the {count} blocks of {group.name} do not cover it exactly once."
                return
            if not _cuts_run_across(layout, group.cols):
                yield f"the row cuts of {group.name} do not run across all its columns."
                return


def _by_owner(blocks: Table) -> tuple[Table, NDArray[np.int64]]:
    """The blocks with those of one replica of one copy of a matrix behind one another, and where
    each of these begins.
    """
    keys = ("group", "copy", "replica")
    starts = _changes(blocks, keys)
    # As passes leave them, so that there is nothing to sort.
    if len(np.unique(np.stack([blocks[key][starts] for key in keys]), axis=1).T) < len(starts):
        blocks = blocks[np.lexsort([blocks[key] for key in ("col", "row", *keys[::-1])])]
        starts = _changes(blocks, keys)
    return blocks, starts


def _changes(table: Table, keys: tuple[str, ...]) -> NDArray[np.int64]:
    """Rows that differ from the one before in one of these columns, the first one among them."""
    new = np.ones(len(table), np.bool_)
    new[1:] = False
    for key in keys:
        new[1:] |= table[key][1:] != table[key][:-1]
    return np.flatnonzero(new)


def _cut_alike(
    blocks: Table, starts: NDArray[np.int64], model: int, count: int
) -> NDArray[np.bool_]:
    """Which of the layouts of `count` blocks from each of `starts` on are equal to the model's."""
    alike = np.ones(len(starts), np.bool_)
    at_once = max(1, _AT_ONCE // count)
    for begin in range(0, len(starts), at_once):
        part = slice(begin, begin + at_once)
        rows = starts[part, None] + np.arange(count)
        for key in ("row", "col", "rows", "cols"):
            column = blocks[key]
            alike[part] &= (column[rows] == column[model : model + count]).all(axis=1)
    return alike


def _owners(program: Program) -> NDArray[np.int64]:
    """Group, copy and replica of everything that blocks have to cover, in that order."""
    replicas = [group.replicas or (1,) * group.copies for group in program.groups]
    times = np.concatenate([np.zeros(0, np.int64), *replicas])
    copies = [group.copies for group in program.groups]
    group = np.repeat(np.arange(len(copies)), copies)
    copy = np.concatenate([np.zeros(0, np.int64), *map(np.arange, copies)])
    replica = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    return np.stack([np.repeat(group, times), np.repeat(copy, times), replica], axis=1)


def _cuts_run_across(blocks: Table, cols: int) -> bool:
    """Every row slice reaches over all columns, so that it is one product."""
    _, which = np.unique(blocks[["row", "rows"]], return_inverse=True)
    return bool((np.bincount(which.ravel(), weights=blocks["cols"]) == cols).all())


def _covers_once(blocks: Table, rows: int, cols: int) -> bool:
    last_row, last_col = blocks["row"] + blocks["rows"], blocks["col"] + blocks["cols"]
    inside = (blocks["row"] >= 0) & (blocks["col"] >= 0) & (last_row <= rows) & (last_col <= cols)
    if not (inside.all() and (blocks["rows"] > 0).all() and (blocks["cols"] > 0).all()):
        return False
    # On the grid of all edges: +1 and -1 at the corners, summed up, counts the blocks over a cell.
    row_edges = np.unique(np.concatenate([blocks["row"], last_row, [0, rows]]))
    col_edges = np.unique(np.concatenate([blocks["col"], last_col, [0, cols]]))
    corners = np.zeros((len(row_edges), len(col_edges)), np.int64)
    for row, col, sign in (
        (blocks["row"], blocks["col"], 1),
        (last_row, blocks["col"], -1),
        (blocks["row"], last_col, -1),
        (last_row, last_col, 1),
    ):
        np.add.at(corners, (np.searchsorted(row_edges, row), np.searchsorted(col_edges, col)), sign)
    count = corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return bool((count == 1).all())


def _allocation(program: Program) -> Iterator[str]:
    proof = program.allocation
    assert proof is not None
    used = _distinct(program.allocations["tile"])
    if used != proof.tiles:
        yield f"the allocation says {proof.tiles} tiles, but its table uses {used}."
    if not _counts_through(program.allocations["block"], len(program.blocks)):
        yield f"the allocation does not hold each of the {len(program.blocks)} blocks once."
        return
    if proof.lower_bound > proof.tiles:
        yield f"the bound of {proof.lower_bound} tiles is above the {proof.tiles} that are used."
    if (proof.status == "OPTIMAL") != (proof.lower_bound == proof.tiles):
        yield f"status {proof.status} with {proof.tiles} tiles and bound {proof.lower_bound}."
    yield from _turns(program)


def _turns(program: Program) -> Iterator[str]:
    """Blocks on one line of a tile take turns, and only under the rule serial are there any."""
    proof, table = program.allocation, program.allocations
    assert proof is not None
    if proof.rule != "serial":
        if (proof.turns, proof.mean_turns) != (1, 1):
            yield f"the allocation says {proof.turns} turns, but under {proof.rule} none are taken."
        return
    shared = np.flatnonzero((np.bincount(table["tile"]) > 1)[table["tile"]])
    table = table[shared[np.argsort(table["tile"][shared], kind="stable")]]
    blocks = program.blocks[table["block"]]
    lines = np.maximum(
        _most_on_a_line(table["tile"], table["row"], blocks["rows"]),
        _most_on_a_line(table["tile"], table["col"], blocks["cols"]),
    )
    most = int(lines.max(initial=1))
    mean = 1 + float((lines - 1).sum()) / proof.tiles
    if proof.turns < most:
        yield f"the allocation says {proof.turns} turns, but {most} blocks share a line."
    if not mean * (1 - 1e-9) <= proof.mean_turns <= proof.turns:
        yield (
            f"the allocation says {proof.mean_turns:.3f} turns on average, but they are at least "
            f"{mean:.3f} and at most {proof.turns}."
        )


def _most_on_a_line(
    tile: NDArray[np.int32], start: NDArray[np.int32], size: NDArray[np.int32]
) -> NDArray[np.int64]:
    """For each tile, in order, the most blocks that one row or column runs through."""
    if not len(tile):
        return np.zeros(0, np.int64)
    tiles = np.tile(tile, 2)
    change = np.repeat([1, -1], len(tile))
    # along each tile, what ends on a line before what begins there
    order = np.lexsort([change, np.concatenate([start, start + size]), tiles])
    on = np.cumsum(change[order])  # what has begun on a tile has ended on it
    return np.maximum.reduceat(on, np.flatnonzero(np.diff(tiles[order], prepend=-1)))


def _placements(program: Program, target: Target) -> Iterator[str]:
    placed, blocks = program.placements, program.blocks
    if not _counts_through(placed["block"], len(blocks)):
        once = len(np.intersect1d(placed["block"], np.arange(len(blocks))))
        yield f"{once} of {len(blocks)} blocks are placed, with {len(placed)} placements."
        return
    crossbar = _crossbars(placed)
    used = np.count_nonzero(np.bincount(crossbar))
    if program.allocation is not None and used != program.allocation.tiles:
        yield f"the blocks are on {used} crossbars, but {program.allocation.tiles} were allocated."
    limits = [("tile", target.chip.tiles), ("tier", target.tile.tiers)]
    if target.system.chips is not None:
        limits.append(("chip", target.system.chips))
    for key, limit in limits:
        outside = (placed[key] < 0) | (placed[key] >= limit)
        if outside.any():
            yield f"{int(outside.sum())} placements are on a {key} outside 0 to {limit - 1}."
    for key, size, limit in (
        ("row", "rows", target.crossbar.rows),
        ("col", "cols", target.crossbar.columns),
    ):
        outside = (placed[key] < 0) | (placed[key] + blocks[size][placed["block"]] > limit)
        if outside.any():
            yield f"{int(outside.sum())} blocks reach over the edge of their crossbar ({size})."
    yield from _neighbours(program, crossbar)
    if program.defects is not None:
        yield from _defects(program, target, DefectMap(program.defects, target))
    elif len(program.orders):
        yield f"{len(program.orders)} crossbars have an order, but the program has no defects."


def _defects(program: Program, target: Target, broken: DefectMap) -> Iterator[str]:
    """Nothing on what is dead; orders that name every line once."""
    placed = program.placements
    blocks = program.blocks[placed["block"]]
    inside = (placed["chip"] >= 0) & (placed["row"] >= 0) & (placed["col"] >= 0)
    inside &= (placed["tile"] < target.chip.tiles) & (placed["tier"] < target.tile.tiers)
    if not inside.all():
        return  # and has been said
    chips, which = np.unique(placed["chip"], return_inverse=True)
    here = broken.crossbars(chips.astype(np.int64))[which.ravel(), placed["tile"], placed["tier"]]
    if here["dead"].any():
        first = placed[int(here["dead"].argmax())]
        yield (
            f"{int(here['dead'].sum())} blocks are on dead crossbars; the first is tier "
            f"{first['tier']} of tile {first['tile']} of chip {first['chip']}."
        )
    for key, size in (("row", "rows"), ("col", "cols")):
        over = placed[key] + blocks[size] > here[size]
        if over.any():
            yield f"{int(over.sum())} blocks need more {size} than their crossbar has left."
    yield from _orders(program, broken)


def _orders(program: Program, broken: DefectMap) -> Iterator[str]:
    orders, placed = program.orders, program.placements
    address = ["chip", "tile", "tier"]
    if int(orders["rows"].sum() + orders["cols"].sum()) != len(program.lines):
        yield f"the {len(orders)} orders do not add up to {len(program.lines)} lines."
        return
    if len(np.unique(orders[address])) != len(orders):
        yield "a crossbar has two orders."
        return
    if not len(orders):
        return
    # How far the blocks of each crossbar reach.
    used, which = np.unique(placed[address], return_inverse=True)
    reach = {}
    for key, size in (("row", "rows"), ("col", "cols")):
        reach[size] = np.zeros(len(used), np.int64)
        np.maximum.at(
            reach[size], which.ravel(), placed[key] + program.blocks[size][placed["block"]]
        )
    number = {crossbar: index for index, crossbar in enumerate(used.tolist())}
    for crossbar, order in program.order_of.items():
        where = "tier {2} of tile {1} of chip {0}".format(*crossbar)
        if crossbar not in number:
            yield f"{where} has an order, but no block."
            continue
        alive = broken.live_lines(crossbar)
        for size, lines, live in zip(("rows", "cols"), order, alive, strict=True):
            needed = int(reach[size][number[crossbar]])
            if len(lines) != needed:
                yield f"the order of {where} has {len(lines)} {size}, but its blocks {needed}."
            elif len(np.unique(lines)) != len(lines):
                yield f"the order of {where} has some of its {size} twice."
            elif not np.isin(lines, live).all():
                yield f"the order of {where} has {size} that are dead or do not exist."


def _placing(program: Program, said: Placing) -> Iterator[str]:
    """What the placement says of itself, as far as it follows from the tables."""
    placed = program.placements
    chips = int(placed["chip"].max()) + 1
    if chips != said.chips:
        yield f"the placement says {said.chips} chips, but its table uses {chips}."
    width = int(placed["tile"].max()) + 1
    of_copy = [
        program.matrix(group.members[0]).per_token
        / group.copies
        / (1 if program.averaged else replicas)
        for group in program.groups
        for replicas in group.replicas or (1,) * group.copies
    ]
    copies = np.asarray([group.copies for group in program.groups])
    begin = np.cumsum(copies) - copies
    mine = program.blocks[placed["block"]]
    uses = np.asarray(of_copy)[begin[mine["group"]] + mine["copy"]]
    address = placed["chip"].astype(np.int64) * width + placed["tile"]
    _, tile = np.unique(address, return_inverse=True)  # addresses may be far apart
    load = np.bincount(tile.ravel(), uses).max()
    if abs(load - said.load) > 1e-5:
        yield f"the placement says {said.load} reads of the busiest tile, but it does {load:g}."
    pairs = [("reads", said.reads, said.reads_bound), ("load", said.load, said.load_bound)]
    if said.byte_hops is not None and said.byte_hops_bound is not None:
        pairs.append(("byte-hops", said.byte_hops, said.byte_hops_bound))
    if said.experts is not None:
        pairs.append(("reads for experts", said.experts.reads, said.experts.bound))
    for what, value, bound in pairs:
        if bound > value + 1e-5:
            yield f"the bound of {bound:g} {what} is above the {value:g} of the placement."


def _crossbars(placed: Table) -> NDArray[np.int64]:
    """A number for each placement, equal for those on one crossbar, and not much larger than there
    are placements.
    """
    numbers = np.zeros(len(placed), np.int64)
    most = 1
    for key in ("chip", "tile", "tier"):
        first, last = int(placed[key].min()), int(placed[key].max())
        most *= last - first + 1
        if most > _SPARSE * len(placed):
            address = np.stack([placed["chip"], placed["tile"], placed["tier"]], axis=1)
            return np.unique(address, axis=0, return_inverse=True)[1].ravel()
        numbers = numbers * (last - first + 1) + (placed[key] - first)
    return numbers


def _distinct(numbers: NDArray[np.int32]) -> int:
    if not len(numbers):
        return 0
    first, last = int(numbers.min()), int(numbers.max())
    if last - first > _SPARSE * len(numbers):
        return len(np.unique(numbers))
    return int(np.count_nonzero(np.bincount(numbers - first)))


def _counts_through(numbers: NDArray[np.int32], count: int) -> bool:
    """Whether they are 0 to `count` - 1, each once, in any order."""
    if len(numbers) != count or not count:
        return len(numbers) == count
    if numbers.min() < 0 or numbers.max() >= count:
        return False
    seen = np.zeros(count, np.bool_)
    seen[numbers] = True
    return bool(seen.all())


def _neighbours(program: Program, crossbar: NDArray[np.int64]) -> Iterator[str]:
    """Blocks on one crossbar: no overlap, and only such neighbours as the rule allows."""
    assert program.allocation is not None
    several = np.flatnonzero((np.bincount(crossbar) > 1)[crossbar])
    order = several[np.argsort(crossbar[several], kind="stable")]
    address = crossbar[order]
    placed = program.placements[order]
    blocks = program.blocks[placed["block"]]
    inputs = _input_numbers(program)[blocks["group"]]
    distance = 1
    while True:
        same = address[distance:] == address[:-distance]
        if not same.any():
            return
        first = np.flatnonzero(same)
        pair = (first, first + distance)
        if program.allocation.rule == "exclusive":
            yield f"{len(first)} blocks share a crossbar, but the rule is exclusive."
            return
        rows = _intersect(placed["row"], blocks["rows"], pair)
        cols = _intersect(placed["col"], blocks["cols"], pair)
        if (rows & cols).any():
            yield f"{int((rows & cols).sum())} pairs of blocks overlap on a crossbar."
        distance += 1
        if program.allocation.rule == "serial":  # blocks on the same lines take turns
            continue
        same_input = _equal(
            pair, inputs, blocks["copy"], blocks["replica"], blocks["row"], blocks["rows"]
        )
        owner = (blocks["group"], blocks["copy"], blocks["replica"])
        same_output = _equal(pair, *owner, blocks["col"], blocks["cols"])
        # On the same lines, not shifted: the converters at both ends are shared.
        illegal = (rows & ~(same_input & _equal(pair, placed["row"]))) | (
            cols & ~(same_output & _equal(pair, placed["col"]))
        )
        if (illegal & ~(rows & cols)).any():
            yield (
                f"{int((illegal & ~(rows & cols)).sum())} pairs of blocks share rows without "
                f"sharing an input, or columns without sharing an output."
            )


def _intersect(
    start: NDArray[np.int32], size: NDArray[np.int32], pair: tuple[NDArray[np.intp], ...]
) -> NDArray[np.bool_]:
    a, b = pair
    result: NDArray[np.bool_] = (start[a] < start[b] + size[b]) & (start[b] < start[a] + size[a])
    return result


def _equal(
    pair: tuple[NDArray[np.intp], ...], *columns: NDArray[np.int32] | NDArray[np.int64]
) -> NDArray[np.bool_]:
    a, b = pair
    result: NDArray[np.bool_] = np.ones(len(a), np.bool_)
    for column in columns:
        result &= column[a] == column[b]
    return result


def _input_numbers(program: Program) -> NDArray[np.int64]:
    """A number for the activation that each group reads, and for its range."""
    read = [program.matrix(group.members[0]) for group in program.groups]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(m.drive for m in read))}
    return np.asarray([numbers[m.drive] for m in read])
