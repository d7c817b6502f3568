"""Whether blocks keep off what is listed as dead, and orders of lines can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from afmc.verifier.intervals import Numbers, numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, more

_ALL = -1
_DEAD = 2
"""The state of what cannot be used at all, in the table of defects."""


def defects(mapped: Mapped) -> Finding:
    """No block is on a crossbar that is listed as dead, and lines are in an order once each.

    Placements count the lines of a crossbar that are not dead, so that what does not overlap there
    does not overlap on the lines of an order either, as long as these are distinct.
    """
    known, table = mapped.program.defects, mapped.defects
    if known is None:
        found = [*_orders(mapped)]
        if len(table["chip"]):
            found.insert(0, f"{len(table['chip'])} defects are listed, but have no map.")
        return Finding({"dead": 0, "orders": len(mapped.orders["chip"])}, tuple(found))
    dead = table["state"] == _DEAD
    of_lines = dead & ((table["row"] != _ALL) | (table["column"] != _ALL))
    problems = (*_on_dead(mapped, np.flatnonzero(dead & ~of_lines)), *_orders(mapped))
    notes = []
    if of_lines.any():
        notes.append(f"dead lines are not verified: {int(of_lines.sum())} are listed")
    if known.rates is not None:
        notes.append("what a random map breaks is not verified")
    counts = {"dead": int(dead.sum()), "orders": len(mapped.orders["chip"])}
    return Finding(counts, problems, tuple(notes))


def _on_dead(mapped: Mapped, entries: Numbers) -> Iterator[str]:
    """Blocks on a dead chip, tile or tier; by which of the three the entries name."""
    keys = ("chip", "tile", "tier")
    listed = np.stack([mapped.defects[key][entries] for key in keys], axis=1)
    at = np.stack([mapped.placed[key] for key in keys], axis=1)
    hit = np.zeros(len(at), np.bool_)
    for given in np.unique(listed != _ALL, axis=0):
        mine = listed[((listed != _ALL) == given).all(axis=1)]
        if not given.any():
            hit[:] = True
            continue
        both = np.concatenate([mine[:, given], at[:, given]])
        number, _ = numbered(*both.T)
        hit |= np.isin(number[len(mine) :], number[: len(mine)])
    if hit.any():
        first = int(hit.argmax())
        yield (
            f"{mapped.block(first)} is on {mapped.crossbar(first)}, which is dead"
            f"{more(int(hit.sum()))}"
        )


def _orders(mapped: Mapped) -> Iterator[str]:
    """Orders of crossbars that name a line twice, one that is not there, or too few."""
    orders, crossbar = mapped.orders, mapped.target.crossbar
    sizes = {"rows": crossbar.rows, "cols": crossbar.columns}
    total = int(orders["rows"].sum() + orders["cols"].sum())
    if min(orders["rows"].min(initial=0), orders["cols"].min(initial=0)) < 0 or (
        total != len(mapped.lines)
    ):
        yield f"the orders name {total} lines, but the table lines has {len(mapped.lines)}."
        return
    reach = _reaches(mapped)
    seen, end = set(), 0
    for number, (chip, tile, tier) in enumerate(
        zip(*(orders[key].tolist() for key in ("chip", "tile", "tier")), strict=True)
    ):
        where = f"chip {chip}, tile {tile}, tier {tier}"
        if (chip, tile, tier) in seen:
            yield f"{where} has two orders."
        seen.add((chip, tile, tier))
        for axis, (key, size) in enumerate(sizes.items()):
            start, end = end, end + int(orders[key][number])
            lines = mapped.lines[start:end]
            if end - start != reach.get((chip, tile, tier), (0, 0))[axis]:
                yield f"the order of {where} has {end - start} {key}, which its blocks do not fill."
            elif len(np.unique(lines)) != len(lines) or ((lines < 0) | (lines >= size)).any():
                yield f"the order of {where} has {key} that are not there, or there twice."


def _reaches(mapped: Mapped) -> dict[tuple[int, int, int], tuple[int, int]]:
    """By chip, tile and tier: rows and columns up to the last that a block uses."""
    number, first = mapped.crossbars
    most = []
    for key, size in (("row", "rows"), ("col", "cols")):
        ends = np.zeros(len(first), np.int64)
        np.maximum.at(ends, number, mapped.placed[key] + mapped.blocks[size])
        most.append(ends.tolist())
    places = [mapped.placed[key][first].tolist() for key in ("chip", "tile", "tier")]
    return dict(zip(zip(*places, strict=True), zip(*most, strict=True), strict=True))
