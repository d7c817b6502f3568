"""Whether the figures that the program claims follow from its tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from afmc.verifier.intervals import numbered
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted

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
_NOT_LOWERED = "not lowered yet"
"""In the reason of a product that could go to tiles one day."""
_KINDS = 2000
"""Distinct sizes of blocks up to which it is looked at which of them can share a tile."""


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
    rest = sum(weights for _, weights in program.remainder)
    macs = math.fsum(m.rows * m.cols * m.per_token for m in program.matrices)
    macs_analog = math.fsum(m.rows * m.cols * m.per_token for m in analog)
    used = len(mapped.crossbars[1])
    cells = used * target.crossbar.rows * target.crossbar.columns
    return {
        "model": program.model.get("name"),
        "architecture": program.model.get("architecture"),
        "model_sha256": program.model.get("sha256"),
        "matrices_analog": len(analog),
        "matrices_digital": len(digital),
        "weights_analog": sum(m.weights for m in analog),
        "weights_digital": sum(m.weights for m in digital) + biases + both + rest,
        "weights_on_both_sides": both,
        "weights_not_lowered": sum(n for why, n in program.remainder if _NOT_LOWERED in why),
        "macs_per_token": macs,
        "macs_analog_fraction": macs_analog / macs if macs else 0.0,
        "blocks": len(mapped.areas),
        "tiles_used": used,
        "tiles_lower_bound": proof.lower_bound,
        "bounds": dict(proof.bounds),
        "gap": (used - proof.lower_bound) / used if used else 0.0,
        "solver_status": proof.status,
        "rule": proof.rule,
        "chips_used": int(mapped.placed["chip"].max(initial=-1)) + 1,
        "target": target.name,
        "target_overrides": dict(target.overrides),
        "utilization": int(mapped.areas.sum()) / cells if cells else 0.0,
    }


def _same(claimed: object, follows: object) -> bool:
    """Sums of floating-point numbers may differ by their order."""
    if isinstance(follows, float):
        number = type(claimed) in (int, float)
        return number and math.isclose(claimed, follows, rel_tol=1e-9)  # type: ignore[arg-type]
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
    largest = max(proof.bounds.values(), default=0)
    if proof.lower_bound != largest:
        problems.append(
            f"allocation.lower_bound is {proof.lower_bound:,}, but the largest of its bounds is "
            f"{largest:,}."
        )
    known = known_bounds(mapped)
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
    proven = proof.lower_bound == used
    if (proof.status == "OPTIMAL") != proven:
        problems.append(
            f"allocation.status is {proof.status}, but {used:,} tiles are used and the lower bound "
            f"is {proof.lower_bound:,}."
        )
    unproven = [f"{name} ({bound:,})" for name, bound in proof.bounds.items() if name not in known]
    notes = (
        (f"not proved again, only held against the tiles used: {', '.join(unproven)}",)
        if unproven
        else ()
    )
    counts = {"tiles": used, "lower bound": proof.lower_bound, "by area": known["area"]}
    return Finding(counts, tuple(problems), notes)


def known_bounds(mapped: Mapped) -> Mapping[str, int]:
    """The largest value that each bound can have by its name, from blocks and crossbars alone."""
    tile = np.asarray((mapped.own.crossbar.rows, mapped.own.crossbar.columns))
    known = {"area": -(-int(mapped.areas.sum()) // int(tile.prod()))}
    blocks = mapped.blocks
    if mapped.program.proof.rule == "exclusive":
        return {**known, "blocks": len(mapped.areas)}
    kind, first = numbered(blocks["rows"], blocks["cols"])
    if mapped.program.proof.rule != "parallel" or len(first) > _KINDS:
        return known
    # Layouts in which blocks share neither a row nor a column: their rows and columns add up.
    size = np.stack([blocks["rows"][first], blocks["cols"][first]], axis=1)
    times = np.bincount(kind)
    lonely = np.ones(len(size), np.bool_)
    for index, one in enumerate(size):
        beside = (size + one <= tile).all(axis=1)
        beside[index] &= times[index] > 1
        lonely[index] = not beside.any()
    alone = int(times[lonely].sum())
    lines = (size * times[:, None])[~lonely].sum(axis=0)
    shared = max(-(-int(n) // int(limit)) for n, limit in zip(lines, tile, strict=True))
    return {**known, "nothing can share": alone, "rows and columns": alone + shared}
