"""Whether the blocks hold every weight of every analog matrix exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from afmc.verifier.intervals import find_overlap, first_gap, numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, more


def owners(mapped: Mapped) -> Finding:
    """Every block is of a group, copy and replica that exist, and each of these has blocks."""
    problems = []
    lost = np.flatnonzero(mapped.holder < 0)
    if len(lost):
        keys = ("group", "copy", "replica")
        group, copy, replica = (int(mapped.blocks[key][lost[0]]) for key in keys)
        problems.append(
            f"block {lost[0]} is of group {group}, copy {copy}, replica {replica}, which does not "
            f"exist{more(len(lost))}"
        )
    held = np.bincount(mapped.holder[mapped.holder >= 0], minlength=len(mapped.holders))
    empty = np.flatnonzero(held == 0)
    if len(empty):
        problems.append(f"{mapped.holders.name(int(empty[0]))} has no block{more(len(empty))}")
    counts = {"blocks": len(mapped.holder), "matrices and replicas": len(mapped.holders)}
    return Finding(counts, tuple(problems))


def cover(mapped: Mapped) -> Finding:
    """Every weight of every replica of every copy is in exactly one block.

    That is so for what is cut into strips and these into columns. Of the others, areas are added
    up, and overlaps and gaps are looked for.
    """
    counts = {"weights": int(mapped.areas.sum())}
    return Finding(counts, tuple(_not_covered(mapped)))


def _not_covered(mapped: Mapped) -> Iterator[str]:
    suspects = mapped.not_in_strips
    if not len(suspects):
        return
    mine = np.isin(mapped.holder, suspects)
    at, blocks = np.flatnonzero(mine), mapped.in_holders.of(mine)
    groups = [mapped.holders.group(holder) for holder in suspects.tolist()]
    which = np.searchsorted(suspects, blocks.field)
    height = np.asarray([group.rows for group in groups])
    width = np.asarray([group.cols for group in groups])

    last_row, last_col = blocks.row + blocks.rows, blocks.col + blocks.cols
    outside = (blocks.row < 0) | (blocks.col < 0)
    outside |= (last_row > height[which]) | (last_col > width[which])
    if outside.any():
        first = int(outside.argmax())
        group = groups[int(which[first])]
        yield (
            f"{mapped.block(int(at[first]))} reaches outside of its {group.rows} x {group.cols} "
            f"weights{more(int(outside.sum()))}"
        )

    overlap = find_overlap(blocks)
    if overlap is not None:
        one, other = int(at[overlap.one]), int(at[overlap.other])
        yield (
            f"blocks {one} and {other} both hold row {overlap.row}, column {overlap.col} of "
            f"{mapped.holders.name(int(blocks.field[overlap.one]))}"
            f"{more(overlap.pairs, overlap.complete)}"
        )

    # Where nothing overlaps or reaches outside, too small an area is all that can be wrong.
    inside = np.minimum(last_row, height[which]) - np.maximum(blocks.row, 0)
    inside = np.maximum(inside, 0)
    inside *= np.maximum(np.minimum(last_col, width[which]) - np.maximum(blocks.col, 0), 0)
    held = np.zeros(len(suspects), np.int64)
    np.add.at(held, which, inside)
    short = np.flatnonzero(held < height * width)
    sound = overlap is None and not outside.any()
    for index in [*short[:1].tolist(), *([] if sound or len(short) else range(len(suspects)))]:
        gap = first_gap(blocks.of(which == index), int(height[index]), int(width[index]))
        if gap is not None:
            name = mapped.holders.name(int(suspects[index]))
            yield (
                f"no block holds row {gap[0]}, column {gap[1]} of {name}"
                f"{more(max(len(short), 1), sound)}"
            )
            return


def row_cuts(mapped: Mapped) -> Finding:
    """Every row cut runs across all columns, so that a strip of rows is one product."""
    counts = {"matrices and replicas": len(mapped.holders)}
    if not len(mapped.not_in_strips):
        return Finding(counts)
    blocks = mapped.in_holders
    strip, first = numbered(blocks.field, blocks.row, blocks.rows)
    wide = np.zeros(len(first), np.int64)
    np.add.at(wide, strip, blocks.cols)
    wanted = mapped.holders.of_each([group.cols for group in mapped.holders.groups])
    short = np.flatnonzero(wide != wanted[blocks.field[first]])
    at = int(first[short[0]])
    problem = (
        f"the row cuts of {mapped.block(at)} do not run across its matrix: blocks of exactly these "
        f"rows hold {wide[short[0]]} of its {wanted[blocks.field[at]]} columns{more(len(short))}"
    )
    return Finding(counts, (problem,))
