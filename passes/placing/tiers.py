"""Crossbars of a chip to its tiles, so that what is read at the same time does not wait.

A tile reads one of its tiers at a time. Crossbars of one stage are read together, and while tokens
follow one another those of the next stages too, the less so the more stages are between. So two
crossbars on one tile cost how often a token uses both, fading with the stages between them.
Crossbars alike in stage and use are one kind; the cost follows from how many of each kind are on
each tile, and a local search swaps single ones as long as that helps.
"""

from __future__ import annotations

import numpy as np

from afmc.program.flow import Real, Whole

FADE = 0.6
"""How much less two crossbars on one tile cost for each stage between them."""
ANY = 0.01
"""What any two on one tile cost, besides."""


def waiting(stage: Whole, both: Real) -> Real:
    """The cost of two reads on one tile, [kinds, kinds]; `both`: how often a token uses both."""
    apart = np.abs(stage[:, None] - stage[None, :])
    return np.asarray((FADE**apart + ANY) * both)


def spread(cost: Real, counts: Whole, room: Whole, effort: int) -> Whole:
    """Better counts of each kind on each tile, [kinds, tiles], by swaps and moves.

    `room` is how many more crossbars each tile can take, `effort` how many changes to look at.
    """
    counts, room = counts.copy(), room.copy()
    kinds, tiles = counts.shape
    own = np.diag(cost)
    pair = own[:, None] + own[None, :] - 2 * cost
    felt = cost @ counts  # [kinds, tiles]: what one more of a kind would meet on a tile
    quiet, tile = 0, 0
    while quiet < tiles and effort > 0:
        here = np.flatnonzero(counts[:, tile])
        effort -= len(here) * kinds * tiles
        away = felt[here] - felt[here, tile][:, None] + own[here][:, None]
        to_free = np.where(room[None, :] > 0, away, np.inf)
        to_free[:, tile] = np.inf
        back = felt[:, tile][:, None] - felt  # [kinds, tiles]: from a tile to this one
        swap = (away - own[here][:, None])[:, None, :] + back[None] + pair[here][:, :, None]
        swap = np.where(counts[None] > 0, swap, np.inf)
        swap[:, :, tile] = np.inf
        best_move = int(to_free.argmin()) if len(here) else 0
        best_swap = int(swap.argmin()) if len(here) else 0
        gain = min(to_free.flat[best_move], swap.flat[best_swap]) if len(here) else np.inf
        if gain > -1e-9:
            quiet, tile = quiet + 1, (tile + 1) % tiles
            continue
        quiet = 0
        if to_free.flat[best_move] <= swap.flat[best_swap]:
            first, other = divmod(best_move, tiles)
            room[other] -= 1
            room[tile] += 1
            changes = [(int(here[first]), 1)]
        else:
            first, rest = divmod(best_swap, kinds * tiles)
            kind, other = divmod(rest, tiles)
            changes = [(int(here[first]), 1), (kind, -1)]
        for kind, sign in changes:
            counts[kind, tile] -= sign
            counts[kind, other] += sign
            felt[:, tile] -= sign * cost[:, kind]
            felt[:, other] += sign * cost[:, kind]
    return counts


def deal(kind: Whole, counts: Whole, start: Whole) -> Whole:
    """The tile of each crossbar: those of a kind go round the tiles that have places for it.

    `start` is where they were before; a round begins at the tile where the kind began.
    """
    tiles = counts.shape[1]
    result = np.empty(len(kind), np.int64)
    order = np.argsort(kind, kind="stable")
    ends = np.cumsum(np.bincount(kind, minlength=len(counts)))
    for index, members in enumerate(np.split(order, ends[:-1])):
        if len(members):
            turned = (int(start[members[0]]) + np.arange(tiles)) % tiles
            places = counts[index, turned]
            tile = np.repeat(turned, places)
            turn = np.arange(len(tile)) - np.repeat(np.cumsum(places) - places, places)
            result[members] = tile[np.argsort(turn, kind="stable")]
    return result
