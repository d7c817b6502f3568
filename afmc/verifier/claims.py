"""Whether the figures that the program claims follow from its tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from afmc.verifier.intervals import Flags, key_of, numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted, more
from afmc.verifier.weights import largest

_REQUIRED = (
    "model",
    "target",
    "matrices_analog",
    "matrices_digital",
    "weights_analog",
    "weights_digital",
    "macs_analog_fraction",
    "blocks",
    "tiles_used",
    "tiles_lower_bound",
    "gap",
    "solver_status",
    "chips_used",
    "utilization",
    "levers",
)
_LEVERS = "levers"
_PAIRWISE = {"nothing can share", "rows and columns", "dual feasible"}
"""Bounds that follow from which blocks can share a tile."""
_SEARCHED = ("nothing can share", "dual feasible", "linear master", "set cover")
_NAMES = {
    "exclusive": ("area", "blocks"),
    "parallel": ("area", "columns", "rows and columns", *_SEARCHED),
    "serial": ("area", *_SEARCHED),
}
"""Bounds that there are, by the rule of packing."""
_PACKED = 5000
"""Blocks up to which they are packed here, to hold bounds against that."""
_KINDS = 2000
"""Distinct sizes of blocks up to which it is looked at which of them can share a tile."""
_SIDE_BY_SIDE = 8
"""Blocks that read the same input up to which all ways to put them side by side are tried."""


def summary(mapped: Mapped) -> Finding:
    """Every figure of the summary is what follows from tables and matrices."""
    claimed, follows = mapped.program.summary, _follows(mapped)
    problems = [f"summary has no {key}." for key in _REQUIRED if key not in claimed]
    for key, value in follows.items():
        if key in claimed and not _same(claimed[key], value):
            problems.append(
                f"summary.{key} is {_spell(claimed[key])}, but {_spell(value)} is what follows."
            )
    used = len(mapped.crossbars[1])
    levers = claimed.get(_LEVERS, [])
    for index, lever in enumerate(levers if isinstance(levers, list) else [levers]):
        tiles = lever.get("tiles") if isinstance(lever, dict) else None
        if type(tiles) is not int or not 0 <= tiles < used:
            problems.append(
                f"summary.levers[{index}] says that it takes {_spell(tiles)} tiles, which is not "
                f"fewer than the {used:,} that are used."
            )
    unknown = sorted(set(claimed) - set(follows) - {_LEVERS})
    notes = (f"not verified: {', '.join(unknown)}",) if unknown else ()
    return Finding({"figures": len(set(claimed) & set(follows))}, tuple(problems), notes)


def _follows(mapped: Mapped) -> dict[str, Any]:
    program, target, proof = mapped.program, mapped.own, mapped.program.proof
    analog = program.analog
    digital = [m for m in program.matrices if m.name in program.digital]
    biases = sum(m.cols * m.copies for m in program.matrices if m.bias is not None)
    both = sum(m.weights for m in analog if m.tied_to is not None)
    rest = sum(weights for weights, _ in program.remainder)
    macs = math.fsum(m.rows * m.cols * m.per_token for m in program.matrices)
    macs_analog = math.fsum(m.rows * m.cols * m.per_token for m in analog)
    used = len(mapped.crossbars[1])
    cells = used * target.crossbar.rows * target.crossbar.columns
    chips = int(mapped.placed["chip"].max(initial=-1)) + 1
    return {
        "model": program.model.get("name"),
        "architecture": program.model.get("architecture"),
        "model_sha256": program.model.get("sha256"),
        "shapes_only": program.shapes_only,
        "matrices_analog": len(analog),
        "matrices_digital": len(digital),
        "weights_analog": sum(m.weights for m in analog),
        "weights_digital": sum(m.weights for m in digital) + biases + both + rest,
        "weights_on_both_sides": both,
        "weights_not_lowered": sum(n for n, lowered in program.remainder if not lowered),
        "macs_per_token": macs,
        "macs_analog_fraction": macs_analog / macs if macs else 0.0,
        "blocks": len(mapped.areas),
        "tiles_used": used,
        "tiles_lower_bound": proof.lower_bound,
        "bounds": dict(proof.bounds),
        "gap": (used - proof.lower_bound) / used if used else 0.0,
        "solver_status": proof.status,
        "rule": proof.rule,
        "objective": _objective(program.options),
        "turns": proof.turns,
        "mean_turns": proof.mean_turns,
        "chips_used": chips,
        "limits": _limits(mapped, chips),
        "placing": None if program.placing is None else dict(program.placing.said),
        "replication": _replication(mapped),
        "routing": _routing(mapped),
        "target": target.name,
        "target_overrides": dict(target.overrides),
        "utilization": int(mapped.areas.sum()) / cells if cells else 0.0,
    }


def _objective(options: Mapping[str, Mapping[str, Any]]) -> object:
    """What merging, cutting and packing were to be best in."""
    asked = (options.get(name, {}).get("objective") for name in ("merge", "split", "allocate"))
    return next(filter(None, asked), None)


def _limits(mapped: Mapped, chips: int) -> list[dict[str, Any]]:
    """What is taken of a system with so many chips, and what is left."""
    system, crossbar = mapped.own.system.chips, mapped.own.crossbar
    if system is None:
        return []
    crossbars = system * mapped.own.chip.tiles * mapped.own.tile.tiers
    pairs = {
        "chips": (chips, system),
        "crossbars": (len(mapped.crossbars[1]), crossbars),
        "cells": (int(mapped.areas.sum()), crossbars * crossbar.rows * crossbar.columns),
    }
    return [
        {"of": of, "demand": demand, "supply": supply, "left": max(0, supply - demand)}
        for of, (demand, supply) in pairs.items()
    ]


def _replication(mapped: Mapped) -> dict[str, Any] | None:
    """What is said of replicas; what else the summary says of them is not looked at."""
    said, claimed = mapped.program.replication, mapped.program.summary.get("replication")
    if said is None:
        return None
    more = claimed if isinstance(claimed, dict) else {}
    return {**more, **said.said, "replicas": int((mapped.blocks["replica"] > 0).sum())}


def _routing(mapped: Mapped) -> dict[str, Any] | None:
    """How evenly the tokens of the sample spread over the experts of a bank."""
    if mapped.program.routing is None:
        return None
    banks = {m.module: m for m in mapped.program.matrices if m.module in mapped.routing}
    shares = []
    for module, bank in banks.items():
        experts = mapped.routing[module].astype(np.int64).ravel()
        shares.append(np.bincount(experts, minlength=bank.copies) / len(experts))
    most = max(shares, key=lambda share: float(share.max()))
    return {
        "source": mapped.program.routing,
        "tokens": max(map(len, mapped.routing.values())),
        "modules": len(banks),
        "most_popular_share": float(most.max()),
        "least_popular_share": min(float(share.min()) for share in shares),
        "even_share": 1 / len(most),
    }


def _same(claimed: object, follows: object) -> bool:
    """Sums of floating-point numbers may differ by their order."""
    if isinstance(follows, float):
        number = type(claimed) in (int, float)
        return number and math.isclose(claimed, follows, rel_tol=1e-9)  # type: ignore[arg-type]
    if isinstance(claimed, dict) and isinstance(follows, dict):
        both = zip(claimed.values(), (follows.get(key) for key in claimed), strict=True)
        return claimed.keys() == follows.keys() and all(_same(*pair) for pair in both)
    if isinstance(claimed, list) and isinstance(follows, list):
        return len(claimed) == len(follows) and all(map(_same, claimed, follows))
    return type(claimed) is type(follows) and claimed == follows


def _spell(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def bounds(mapped: Mapped) -> Finding:
    """Tiles are counted rightly, and no bound contradicts them or the blocks."""
    proof = mapped.program.proof
    used = len(mapped.crossbars[1])
    problems = []
    if proof.tiles != used:
        problems.append(
            f"allocation.tiles is {proof.tiles:,}, but the blocks are on "
            f"{counted(used, 'crossbar')}."
        )
    highest = max(proof.bounds.values(), default=0)
    if proof.lower_bound != highest:
        problems.append(
            f"allocation.lower_bound is {proof.lower_bound:,}, but the largest of its bounds is "
            f"{highest:,}."
        )
    known = known_bounds(mapped)
    unknown = sorted(set(proof.bounds) - {*_NAMES[proof.rule]})
    if unknown:
        problems.append(f"the rule {proof.rule} has no bound {unknown[0]!r}{more(len(unknown))}")
    for name, bound in proof.bounds.items():
        if bound > used:
            problems.append(
                f"the bound '{name}' says at least {counted(bound, 'tile')}, but the blocks are on "
                f"{used:,}."
            )
        elif bound > known.get(name, used):
            problems.append(
                f"the bound '{name}' says at least {counted(bound, 'tile')}, but what follows from "
                f"the blocks is {known[name]:,}."
            )
    enough = _enough(mapped)
    if highest > enough and highest <= used:
        problems.append(
            f"the bounds say at least {counted(highest, 'tile')}, but {enough:,} are enough, with "
            f"blocks along their diagonals."
        )
    proven = proof.lower_bound == used
    if (proof.status == "OPTIMAL") != proven:
        problems.append(
            f"allocation.status is {proof.status}, but {used:,} tiles are used and the lower bound "
            f"is {proof.lower_bound:,}."
        )
    unproven = [f"{name} ({bound:,})" for name, bound in proof.bounds.items() if name not in known]
    notes = []
    if unproven:
        notes.append(
            f"not proved independently, only held against the tiles used: {', '.join(unproven)}"
        )
    shown = [min(bound, known[name]) for name, bound in proof.bounds.items() if name in known]
    own = max(shown, default=known["area"])
    if unproven and proven and own < used:
        notes.append(
            f"that {used:,} tiles are OPTIMAL rests on these alone; proved here is that it takes "
            f"at least {own:,}"
        )
    counts = {"tiles": used, "lower bound": proof.lower_bound, "by area": known["area"]}
    return Finding(counts, tuple(problems), tuple(notes))


def _enough(mapped: Mapped) -> int:
    """Tiles that a simple packing takes: no bound can be above it.

    Blocks along the diagonal of a tile share neither rows nor columns, which both rules allow.
    """
    blocks = len(mapped.areas)
    if mapped.program.proof.rule == "exclusive" or not 0 < blocks <= _PACKED:
        return blocks
    rows, cols = (mapped.blocks[key] for key in ("rows", "cols"))
    tile = mapped.own.crossbar
    left = np.tile(np.asarray([tile.rows, tile.columns]), (blocks, 1))
    used = 0
    for block in np.argsort(-np.maximum(rows / tile.rows, cols / tile.columns), kind="stable"):
        fits = (left[: used + 1, 0] >= rows[block]) & (left[: used + 1, 1] >= cols[block])
        if not fits.any():
            return blocks  # larger than a tile, which is another check's
        first = int(fits.argmax())
        left[first] -= (rows[block], cols[block])
        used = max(used, first + 1)
    return used


def known_bounds(mapped: Mapped) -> Mapping[str, int]:
    """The largest value that each bound can have by its name, from blocks and crossbars alone.

    Under ``parallel`` over layouts in which blocks share no column, and rows only where they read
    the same rows of the same input: their columns add up, and so do the rows of what cannot be side
    by side.
    """
    rule, blocks = mapped.program.proof.rule, mapped.blocks
    tile = np.asarray((mapped.own.crossbar.rows, mapped.own.crossbar.columns))
    known = {"area": _up(int(mapped.areas.sum()), int(tile.prod()))}
    if rule == "exclusive":
        return {**known, "blocks": len(mapped.areas)}
    if rule == "parallel":
        known["columns"] = _up(int(blocks["cols"].sum()), int(tile[1]))
    if not _PAIRWISE & mapped.program.proof.bounds.keys():
        return known
    kind, first = numbered(blocks["rows"], blocks["cols"])
    if len(first) > _KINDS:
        return known
    size = np.stack([blocks["rows"][first], blocks["cols"][first]], axis=1)
    times = np.bincount(kind)
    lonely = np.ones(len(size), np.bool_)
    for index, one in enumerate(size):
        fits = size + one <= tile
        beside = fits.all(axis=1) if rule == "parallel" else fits.any(axis=1)
        beside[index] &= times[index] > 1
        lonely[index] = not beside.any()
    alone = lonely[kind]
    if rule == "parallel":
        alone &= ~_beside_their_like(mapped, int(tile[1]))
    known["nothing can share"] = int(alone.sum())
    if rule == "serial":
        rest = largest(size[~lonely], times[~lonely], (int(tile[0]), int(tile[1])))
        known |= {} if rest is None else {"dual feasible": known["nothing can share"] + rest}
    if rule == "parallel":
        columns = _up(int(blocks["cols"][~alone].sum()), int(tile[1]))
        rows = _up(_rows_apart(mapped, ~alone, int(tile[1])), int(tile[0]))
        known["rows and columns"] = known["nothing can share"] + max(rows, columns)
    return known


def _up(what: int, by: int) -> int:
    return -(-what // by)


def _beside_their_like(mapped: Mapped, columns: int) -> Flags:
    """Blocks that fit side by side with another one that reads the same rows of the same input."""
    cols = mapped.blocks["cols"]
    order = np.argsort(key_of(mapped.inputs, cols), kind="stable")
    _, start = np.unique(mapped.inputs[order], return_index=True)
    size = np.diff(start, append=len(order))
    # Whoever does not fit beside the narrowest fits beside nobody; that one needs the second.
    partner = np.repeat(cols[order][start], size)
    second = cols[order][np.minimum(start + 1, len(order) - 1)]
    partner[start] = np.where(size > 1, second, columns)
    fits = np.empty(len(order), np.bool_)
    fits[order] = cols[order] + partner <= columns
    return fits


def _rows_apart(mapped: Mapped, which: Flags, columns: int) -> int:
    """Rows of these blocks, those of one input counted once for as many as fit side by side."""
    blocks = mapped.blocks
    family = np.unique(mapped.inputs[which], return_inverse=True)[1]
    rows, cols = blocks["rows"][which], blocks["cols"][which]
    order = np.argsort(key_of(family, cols), kind="stable")
    size = np.bincount(family)
    start = np.cumsum(size) - size
    total = 0
    for length in np.unique(size).tolist():
        mine = start[size == length][:, None] + np.arange(length)
        alike, times = np.unique(
            np.column_stack([rows[order][mine[:, :1]], cols[order][mine]]),
            axis=0,
            return_counts=True,
        )
        for (height, *widths), often in zip(alike.tolist(), times.tolist(), strict=True):
            total += height * often * _fewest_bins(widths, columns)
    return total


def _fewest_bins(widths: list[int], columns: int) -> int:
    """The fewest rows of blocks of these widths; for many, as many as there are blocks."""
    if len(widths) > _SIDE_BY_SIDE:
        return len(widths)
    best = len(widths)

    def place(left: list[int], bins: list[int]) -> None:
        nonlocal best
        if len(bins) >= best:
            return
        if not left:
            best = len(bins)
            return
        width, *rest = left
        for index in range(len(bins)):
            if bins[index] + width <= columns:
                place(rest, [*bins[:index], bins[index] + width, *bins[index + 1 :]])
        place(rest, [*bins, width])

    place(sorted(widths, reverse=True), [])
    return best
