"""Whether blocks keep off what is listed as dead, and orders of lines can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from afmc.verifier.intervals import Numbers, numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, more

_ALL = -1
_DEAD = 2
"""The state of what cannot be used at all, in the table of defects."""


def defects(mapped: Mapped) -> Finding:
    """No block is on what is listed as dead, and lines are in an order once each.

    Placements count the lines of a crossbar that are not dead, so that what does not overlap there
    does not overlap on the lines of an order either, as long as these are distinct.
    """
    known, table = mapped.program.defects, mapped.defects
    if known is None:
        found = [*_orders(mapped, {})]
        if len(table["chip"]):
            found.insert(0, f"{len(table['chip'])} defects are listed, but have no map.")
        return Finding({"dead": 0, "orders": len(mapped.orders["chip"])}, tuple(found))
    dead = table["state"] == _DEAD
    of_lines = dead & ((table["row"] != _ALL) | (table["column"] != _ALL))
    lines = _dead_lines(mapped, np.flatnonzero(of_lines))
    problems = (
        *_impossible(mapped),
        *_on_dead(mapped, np.flatnonzero(dead & ~of_lines)),
        *_too_long(mapped, lines),
        *_orders(mapped, lines),
    )
    notes: tuple[str, ...] = ()
    if known.rates is not None:
        notes = ("what a random map breaks besides what is listed is not verified",)
    counts = {
        "dead": int((dead & ~of_lines).sum()),
        "dead lines": int(of_lines.sum()),
        "orders": len(mapped.orders["chip"]),
    }
    return Finding(counts, problems, notes)


def _impossible(mapped: Mapped) -> Iterator[str]:
    """A map that breaks nothing, rates that are no shares, and entries about what is not there."""
    known, table, target = mapped.program.defects, mapped.defects, mapped.own
    assert known is not None
    shares = {k: v for k, v in (known.rates or {}).items() if k != "seed"}
    for name, rate in shares.items():
        if type(rate) not in (int, float) or not 0 <= rate <= 1:
            yield f"the rate {name} of the map of defects is {rate!r}, which is no share."
    if not len(table["chip"]) and not any(shares.values()):
        yield f"the map of defects {known.name!r} breaks nothing."
    ends = {
        "chip": target.system.chips,
        "tile": target.chip.tiles,
        "tier": target.tile.tiers,
        "row": target.crossbar.rows,
        "column": target.crossbar.columns,
        "polarity": 2,
        "device": target.device.devices_per_polarity,
    }
    for key, end in ends.items():
        wrong = (table[key] < _ALL) | (table[key] >= (np.inf if end is None else end))
        if wrong.any():
            first = int(wrong.argmax())
            yield f"defect {first} is of {key} {table[key][first]}, which is not there."
    wrong = (table["state"] < 0) | (table["state"] > _DEAD)
    if wrong.any():
        yield f"defect {int(wrong.argmax())} has the state {table['state'][wrong.argmax()]}."
    stuck = bool((table["state"] < _DEAD).any()) or any(
        shares.get(key) for key in ("cells_off", "cells_on")
    )
    if mapped.program.methods and not stuck:
        yield "stuck cells were repaired, but the map of defects has none."


def _meeting(mapped: Mapped, entries: Numbers) -> tuple[Numbers, Numbers]:
    """Pairs of an entry and a crossbar with blocks that it is about: positions in `entries`, and
    numbers of crossbars."""
    keys = ("chip", "tile", "tier")
    first = mapped.crossbars[1]
    listed = np.stack([mapped.defects[key][entries] for key in keys], axis=1)
    at = np.stack([mapped.placed[key][first] for key in keys], axis=1)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for given in np.unique(listed != _ALL, axis=0):  # entries that leave the same open
        mine = np.flatnonzero(((listed != _ALL) == given).all(axis=1))
        both = np.concatenate([listed[mine], at]) * given
        number = numbered(*both.T)[0]
        ours, theirs = number[: len(mine)], number[len(mine) :]
        order = np.argsort(ours, kind="stable")
        begin = np.searchsorted(ours[order], theirs, side="left")
        times = np.searchsorted(ours[order], theirs, side="right") - begin
        steps = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        crossbar = np.repeat(np.arange(len(at)), times)
        found.append((mine[order[np.repeat(begin, times) + steps]], crossbar))
    entry, crossbar = (np.concatenate(each) for each in zip(*found, strict=True))
    return entry, crossbar


def _on_dead(mapped: Mapped, entries: Numbers) -> Iterator[str]:
    """Blocks on a dead chip, tile or tier."""
    _, dead = _meeting(mapped, entries)
    hit = np.isin(mapped.crossbars[0], dead)
    if hit.any():
        first = int(hit.argmax())
        yield (
            f"{mapped.block(first)} is on {mapped.crossbar(first)}, which is dead"
            f"{more(int(hit.sum()))}"
        )


def _dead_lines(mapped: Mapped, entries: Numbers) -> dict[str, Numbers]:
    """Dead rows and columns of crossbars with blocks: [lines, 2], crossbar and line, each once."""
    entry, crossbar = _meeting(mapped, entries)
    found = {}
    for size, key in (("rows", "row"), ("cols", "column")):
        line = mapped.defects[key][entries][entry]
        named = line != _ALL
        found[size] = np.unique(np.stack([crossbar[named], line[named]], axis=1), axis=0)
    return found


def _too_long(mapped: Mapped, dead: Mapping[str, Numbers]) -> Iterator[str]:
    """Blocks that need more lines than are left."""
    crossbar, first = mapped.crossbars
    of, hardware = mapped.on_crossbars, mapped.target.crossbar
    for size, end, whole in (
        ("rows", of.row + of.rows, hardware.rows),
        ("cols", of.col + of.cols, hardware.columns),
    ):
        left = whole - np.bincount(dead[size][:, 0], minlength=len(first))
        over = (end > left[crossbar]) & (left < whole)[crossbar]
        if over.any():
            at = int(over.argmax())
            name = "rows" if size == "rows" else "columns"
            yield (
                f"{mapped.block(at)} reaches to {name[:-1]} {end[at] - 1} of "
                f"{mapped.crossbar(at)}, which has {left[crossbar[at]]} {name} left"
                f"{more(int(over.sum()))}"
            )


def _orders(mapped: Mapped, dead: Mapping[str, Numbers]) -> Iterator[str]:
    """Orders of crossbars that name a line twice, one that is dead or not there, or too few."""
    orders, crossbar = mapped.orders, mapped.target.crossbar
    sizes = {"rows": crossbar.rows, "cols": crossbar.columns}
    total = int(orders["rows"].sum() + orders["cols"].sum())
    if min(orders["rows"].min(initial=0), orders["cols"].min(initial=0)) < 0 or (
        total != len(mapped.lines)
    ):
        yield f"the orders name {total} lines, but the table lines has {len(mapped.lines)}."
        return
    if not len(orders["chip"]):
        return
    reach = _reaches(mapped)
    gone = {size: {tuple(pair) for pair in pairs.tolist()} for size, pairs in dead.items()}
    seen, end = set(), 0
    for number, place in enumerate(
        zip(*(orders[key].tolist() for key in ("chip", "tile", "tier")), strict=True)
    ):
        where = "chip {}, tile {}, tier {}".format(*place)
        if place in seen:
            yield f"{where} has two orders."
        seen.add(place)
        one, *reaches = reach.get(place, (-1, 0, 0))
        for (key, size), wanted in zip(sizes.items(), reaches, strict=True):
            start, end = end, end + int(orders[key][number])
            lines = mapped.lines[start:end]
            if end - start != wanted:
                yield f"the order of {where} has {end - start} {key}, which its blocks do not fill."
            elif len(np.unique(lines)) != len(lines) or ((lines < 0) | (lines >= size)).any():
                yield f"the order of {where} has {key} that are not there, or there twice."
            elif any((one, line) in gone.get(key, ()) for line in lines.tolist()):
                yield f"the order of {where} has {key} that are dead."


def _reaches(mapped: Mapped) -> dict[tuple[int, ...], tuple[int, int, int]]:
    """By chip, tile and tier: the crossbar's number, and rows and columns up to the last used."""
    number, first = mapped.crossbars
    most = [np.arange(len(first)).tolist()]
    for key, size in (("row", "rows"), ("col", "cols")):
        ends = np.zeros(len(first), np.int64)
        np.maximum.at(ends, number, mapped.placed[key] + mapped.blocks[size])
        most.append(ends.tolist())
    places = [mapped.placed[key][first].tolist() for key in ("chip", "tile", "tier")]
    return dict(zip(zip(*places, strict=True), zip(*most, strict=True), strict=True))
