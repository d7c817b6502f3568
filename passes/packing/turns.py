"""How many reads one after the other the blocks of a tile take when all are wanted at once.

Blocks that share a row driver or a column line take turns, all others are read together: the
fewest turns are the fewest colours of the graph of conflicts. Blocks on one line all conflict, so
their number is a lower bound; taking the first turn that is free, block after block, gives an
upper one.
"""

from __future__ import annotations

from functools import lru_cache

from afmc.passes.packing.demand import Counts
from afmc.passes.packing.layouts import Layout

_EXACT = 12  # blocks up to which the fewest turns are searched for where the two bounds differ

Lines = tuple[int, int]
"""The rows and the columns of a block, each as the bits of an integer."""


def turns_of(layout: Layout, shapes: Counts) -> int:
    """The fewest turns for up to a dozen blocks, and beyond what a greedy choice takes."""
    size = shapes.tolist()
    return _turns(
        tuple(
            (_bits(seat.row, size[seat.type][0]), _bits(seat.col, size[seat.type][1]))
            for seat in layout
        )
    )


@lru_cache(maxsize=100_000)
def _turns(blocks: tuple[Lines, ...]) -> int:
    on_a_line = max((_deepest([block[k] for block in blocks]) for k in (0, 1)), default=0)
    orders = (
        sorted(blocks, key=lambda block: -block[0].bit_count() * block[1].bit_count()),
        sorted(blocks, key=lambda block: -block[0].bit_count()),
        sorted(blocks, key=lambda block: -block[1].bit_count()),
    )
    fewest = min(map(_first_free, orders))
    while fewest > on_a_line and len(blocks) <= _EXACT and _possible(orders[0], fewest - 1):
        fewest -= 1
    return fewest


def _bits(start: int, size: int) -> int:
    return ((1 << size) - 1) << start


def _deepest(lines: list[int]) -> int:
    """The most blocks on one line: some line on which a block begins."""
    begins = {block & -block for block in lines}
    return max((sum(bool(block & line) for block in lines) for line in begins), default=0)


def _first_free(blocks: list[Lines]) -> int:
    """Turns, if each block takes the first in which no other is on its lines."""
    turns: list[Lines] = []
    for rows, cols in blocks:
        for index, (used_rows, used_cols) in enumerate(turns):
            if not (rows & used_rows or cols & used_cols):
                turns[index] = (used_rows | rows, used_cols | cols)
                break
        else:
            turns.append((rows, cols))
    return len(turns)


def _possible(blocks: list[Lines], most: int, turns: tuple[Lines, ...] = ()) -> bool:
    """Whether `most` turns are enough, by trying; of unused turns only the next is tried."""
    if not blocks:
        return True
    (rows, cols), *rest = blocks
    for index, (used_rows, used_cols) in enumerate((*turns, (0, 0))[:most]):
        if not (rows & used_rows or cols & used_cols):
            taken = (used_rows | rows, used_cols | cols)
            if _possible(rest, most, (*turns[:index], taken, *turns[index + 1 :])):
                return True
    return False
