"""The rules of a legal program, as a table that runs.

`problems(program, target)` lists every broken rule in whole sentences with numbers. It runs after
every pass and shares no code with the passes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from afmc.defect_map import DefectMap
from afmc.ir import Group, Program, Table
from afmc.targets import Target


def problems(program: Program, target: Target) -> Iterator[str]:
    """Every broken rule. A program that has not come so far yet breaks no later rule."""
    yield from _matrices(program)
    if program.digital is not None:
        yield from _partition(program)
    if program.groups:
        yield from _groups(program)
    if len(program.blocks):
        yield from _cover(program, target)
    if program.allocation is not None:
        yield from _allocation(program)
    if len(program.placements):
        yield from _placements(program, target)


def _matrices(program: Program) -> Iterator[str]:
    names = [matrix.name for matrix in program.matrices]
    if len(set(names)) != len(names):
        yield f"{len(names) - len(set(names))} matrices have a name that another one has."
    for matrix in program.matrices:
        if min(matrix.rows, matrix.cols, matrix.copies) < 1:
            yield f"{matrix.name} is {matrix.rows} x {matrix.cols} x {matrix.copies}."
        if matrix.input_range is not None and not 0 < matrix.input_range < float("inf"):
            yield f"{matrix.name} has the input range {matrix.input_range}."


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
        if len({(m.input, m.input_range) for m in members}) != 1:
            yield f"the members of {group.name} read different inputs or ranges."


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
    # Blocks of one replica of one copy of one matrix, from `starts[i]` to `starts[i + 1]`.
    owner = np.stack([blocks["group"], blocks["copy"], blocks["replica"]], axis=1)
    order = np.lexsort([blocks[k] for k in ("col", "row", "replica", "copy", "group")])
    blocks, owner = blocks[order], owner[order]
    starts = np.flatnonzero(np.any(np.diff(owner, axis=0, prepend=-1), axis=1))
    ends = np.append(starts[1:], len(blocks))
    expected = sum(sum(group.replicas) or group.copies for group in program.groups)
    if len(starts) != expected:
        yield f"the blocks belong to {len(starts)} matrices, but {expected} are analog."
        return
    checked: dict[tuple[Group, bytes], bool] = {}
    aligned: dict[tuple[Group, bytes], bool] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        group = program.groups[int(owner[start][0])]
        mine = blocks[start:end]
        shape = Group((), group.rows, group.cols)
        layout = np.ascontiguousarray(mine[["row", "col", "rows", "cols"]]).tobytes()
        key = (shape, layout)
        if key not in checked:  # equal matrices are cut equally: look at each way of cutting once
            checked[key] = _covers_once(mine, group.rows, group.cols)
        if not checked[key]:
            yield f"the {end - start} blocks of {group.name} do not cover it exactly once."
            return
        if key not in aligned:
            aligned[key] = _cuts_run_across(mine, group.cols)
        if not aligned[key]:
            yield f"the row cuts of {group.name} do not run across all its columns."
            return


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
    used = len(np.unique(program.allocations["tile"]))
    if used != proof.tiles:
        yield f"the allocation says {proof.tiles} tiles, but its table uses {used}."
    if not np.array_equal(np.sort(program.allocations["block"]), np.arange(len(program.blocks))):
        yield f"the allocation does not hold each of the {len(program.blocks)} blocks once."
    if proof.lower_bound > proof.tiles:
        yield f"the bound of {proof.lower_bound} tiles is above the {proof.tiles} that are used."
    if (proof.status == "OPTIMAL") != (proof.lower_bound == proof.tiles):
        yield f"status {proof.status} with {proof.tiles} tiles and bound {proof.lower_bound}."


def _placements(program: Program, target: Target) -> Iterator[str]:
    placed, blocks = program.placements, program.blocks
    if not np.array_equal(np.sort(placed["block"]), np.arange(len(blocks))):
        once = len(np.intersect1d(placed["block"], np.arange(len(blocks))))
        yield f"{once} of {len(blocks)} blocks are placed, with {len(placed)} placements."
        return
    used = len(np.unique(placed[["chip", "tile", "tier"]]))
    if program.allocation is not None and used != program.allocation.tiles:
        yield f"the blocks are on {used} crossbars, but {program.allocation.tiles} were allocated."
    limits = [("tile", target.chip.tiles), ("tier", target.tile.tiers)]
    if target.system.chips is not None:
        limits.append(("chip", target.system.chips))
    for key, limit in limits:
        outside = (placed[key] < 0) | (placed[key] >= limit)
        if outside.any():
            yield f"{int(outside.sum())} placements are on a {key} outside 0 to {limit - 1}."
    mine = blocks[placed["block"]]
    for key, size, limit in (
        ("row", "rows", target.crossbar.rows),
        ("col", "cols", target.crossbar.columns),
    ):
        outside = (placed[key] < 0) | (placed[key] + mine[size] > limit)
        if outside.any():
            yield f"{int(outside.sum())} blocks reach over the edge of their crossbar ({size})."
    yield from _neighbours(program)
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


def _neighbours(program: Program) -> Iterator[str]:
    """Blocks on one crossbar: no overlap, and only such neighbours as the rule allows."""
    assert program.allocation is not None
    placed = program.placements
    order = np.lexsort([placed[k] for k in ("row", "tier", "tile", "chip")])
    placed = placed[order]
    blocks = program.blocks[placed["block"]]
    inputs = _input_numbers(program)[blocks["group"]]
    address = np.stack([placed["chip"], placed["tile"], placed["tier"]], axis=1)
    distance = 1
    while True:
        same = (address[distance:] == address[:-distance]).all(axis=1)
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
        distance += 1


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
    numbers = {
        key: i for i, key in enumerate(dict.fromkeys((m.input, m.input_range) for m in read))
    }
    return np.asarray([numbers[m.input, m.input_range] for m in read])
