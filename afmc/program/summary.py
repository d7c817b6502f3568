"""The figures of a program, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from afmc.errors import CapacityError
from afmc.fit import Lever
from afmc.hardware.defect_map import DefectMap
from afmc.program.layout import layout_of
from afmc.program.limits import limits
from afmc.program.program import SCHEMA_VERSION, Program
from afmc.program.trained_for import notes
from afmc.targets import Target

if TYPE_CHECKING:
    from afmc.program.compiled import CompiledProgram


# How the frontend ends the reason of a product that could go to tiles one day.
NOT_LOWERED = "not lowered yet"

_BOUND_IS_OVER = {
    "exclusive": "one block a tile",
    "parallel": "layouts in which blocks of a tile share no column, and rows only where they read "
    "the same rows of the same input",
    "serial": "all layouts in which the blocks of a tile do not overlap",
}


def summarise(program: Program, target: Target, levers: Sequence[Lever]) -> dict[str, Any]:
    """The figures that follow from the program alone; all derived, so equal on every machine.

    Multiply-accumulates are those of the matrices that were found, for
    one token; attention products, whose number grows with the context, are not among them, nor
    are products that are not lowered yet (``weights_not_lowered``). Tiles are counted
    by crossbars: a tier of a stacked tile is one. Cells in use are those of all replicas.
    """
    assert program.allocation is not None and program.digital is not None
    analog = program.analog
    digital = [m for m in program.matrices if m.name in program.digital]
    macs = sum(m.macs_per_token for m in program.matrices)
    layout = layout_of(program, target)
    crossbars = len(layout.crossbars_held)
    cells = target.crossbar.rows * target.crossbar.columns * crossbars
    biases = sum(m.cols * m.copies for m in program.matrices if m.bias)
    on_tiles = sum(m.weights for m in analog)
    held = int(program.blocks["rows"].astype(np.int64) @ program.blocks["cols"])
    kept = sum(m.weights for m in digital)
    both = sum(m.weights for m in analog if m.tied_to is not None)
    return {
        "model": program.model.name,
        "architecture": program.model.architecture,
        "model_sha256": program.model.sha256,
        "shapes_only": program.model.shapes_only,
        "target": target.name,
        "target_overrides": dict(target.overrides),
        "matrices_analog": len(analog),
        "matrices_digital": len(digital),
        "weights_analog": on_tiles,
        "weights_digital": kept + biases + both + sum(rest.weights for rest in program.remainder),
        "weights_on_both_sides": both,
        "weights_not_lowered": sum(r.weights for r in program.remainder if NOT_LOWERED in r.reason),
        "macs_per_token": macs,
        "macs_analog_fraction": sum(m.macs_per_token for m in analog) / macs,
        "blocks": len(program.blocks),
        "tiles_used": crossbars,
        "tiles_lower_bound": program.allocation.lower_bound,
        "bounds": dict(program.allocation.bounds),
        "gap": program.allocation.gap,
        "solver_status": program.allocation.status,
        "rule": program.allocation.rule,
        "objective": _objective(program),
        "turns": program.allocation.turns,
        "mean_turns": program.allocation.mean_turns,
        "bound_is_over": _BOUND_IS_OVER[program.allocation.rule],
        "chips_used": layout.chips,
        "limits": [
            {**asdict(limit), "left": limit.left} for limit in limits(program, target, layout.chips)
        ],
        "placing": asdict(program.placing) if program.placing is not None else None,
        "utilization": held / cells,
        "replication": None if program.replication is None else _replication(program, target),
        "routing": _routing(program),
        "defects": _defects(program, target),
        "blocks_moved": program.moved,
        "training": None if program.training is None else asdict(program.training),
        "notes": list(notes(program, target)),
        "levers": [asdict(lever) for lever in levers],
    }


def _replication(program: Program, target: Target) -> dict[str, Any]:
    claim = program.replication
    assert claim is not None
    return {
        **asdict(claim),
        "replicas": int((program.blocks["replica"] > 0).sum()),
        "replicas_waiting": _waiting(program, target),
        "gain": _gain(program),
    }


def _waiting(program: Program, target: Target) -> int:
    """Blocks on a tile with a replica of theirs, so that one is read after the other: on another
    tier, or in rows or columns that both use."""
    assert program.allocation is not None
    if target.tile.tiers == 1 and program.allocation.rule != "serial":
        return 0
    place, blocks = program.placements, program.blocks[program.placements["block"]]
    owner = [blocks[key] for key in ("group", "copy", "row", "col")]
    tile = [place[key] for key in ("chip", "tile")]
    order = np.lexsort([place["tier"], *tile, *owner])
    place, blocks = place[order], blocks[order]
    same = np.ones(max(0, len(order) - 1), np.bool_)
    for column in (*owner, *tile):
        same &= np.diff(column[order]) == 0
    shared = np.diff(place["tier"]) != 0
    for first, size in (("row", "rows"), ("col", "cols")):
        shared |= np.abs(np.diff(place[first])) < blocks[size][1:]
    return int((same & shared).sum())


def _gain(program: Program) -> str:
    """What replicas are good for, in words."""
    claim = program.replication
    assert claim is not None
    if claim.turns < claim.turns_alone:
        return f"{claim.turns_alone:,} turns become {claim.turns:,}"
    if claim.turns_alone == (1 if claim.objective == "throughput" else len(program.groups)):
        at_once = "one token" if claim.tokens == 1 else f"{claim.tokens:,} tokens at once"
        return (
            f"no gain: for {at_once} no matrix is used more than once, and a second copy "
            f"does not shorten one use; prompts and batches (replicate.tokens), popular experts "
            f"and convolutions gain"
        )
    return f"no gain: with {claim.budget:,} crossbars it stays at {claim.turns:,} turns"


def _objective(program: Program) -> str | None:
    """What merging, cutting and packing were to be best in; None if no such pass ran."""
    options = {step.name: step.options for step in program.applied}
    asked = (options.get(name, {}).get("objective") for name in ("merge", "split", "allocate"))
    return next(filter(None, asked), None)


def _routing(program: Program) -> dict[str, Any] | None:
    """How evenly the sample's uses of a bank spread over its experts, over all banks."""
    if program.routing is None:
        return None
    modules = {m.module: m for m in program.matrices if m.module in program.routing.experts}
    shares = [program.routing.shares(bank) for bank in modules.values()]
    most = max(shares, key=lambda share: share.max())
    return {
        "source": program.routing.source,
        "tokens": max(map(len, program.routing.experts.values())),
        "modules": len(modules),
        "most_popular_share": float(most.max()),
        "least_popular_share": float(min(share.min() for share in shares)),
        "even_share": 1 / len(most),
    }


def _defects(program: Program, target: Target) -> dict[str, Any] | None:
    """What the map of defects took away on the chips up to the last one used."""
    if program.defects is None:
        return None
    chips = layout_of(program, target).chips
    crossbars = DefectMap(program.defects, target).crossbars(np.arange(chips))
    rows, columns = target.crossbar.rows, target.crossbar.columns
    partial = ~crossbars["dead"] & ((crossbars["rows"] < rows) | (crossbars["cols"] < columns))
    used_here = np.zeros_like(partial)
    used_here[tuple(program.placements[key] for key in ("chip", "tile", "tier"))] = True
    return {
        "map": program.defects.name,
        "dead_crossbars": int(crossbars["dead"].sum()),
        "crossbars_with_dead_lines": int(partial.sum()),
        "crossbars_with_dead_lines_used": int((partial & used_here).sum()),
        "crossbars_spare": int((~crossbars["dead"] & ~used_here).sum()),
        "repair": None if program.repair is None else asdict(program.repair),
    }


def inspect_json(compiled: CompiledProgram) -> dict[str, Any]:
    """``inspect --json`` and ``compile --json``: the summary, and what was measured compiling."""
    program = compiled.program
    assert program.digital is not None
    return {
        "schema_version": SCHEMA_VERSION,
        **compiled.summary,
        "wall_s": compiled.measured["wall_s"],
        "peak_rss_mb": compiled.measured["peak_rss_mb"],
        "stages_s": compiled.measured["stages_s"],
        "passes": [{"name": a.name, "options": dict(a.options)} for a in program.applied],
        "digital": dict(program.digital),
        "remainder": [
            {"operation": r.operation, "count": r.count, "weights": r.weights, "reason": r.reason}
            for r in program.remainder
        ],
    }


def misfit_json(error: CapacityError) -> dict[str, Any]:
    """``compile --json`` of a model that does not fit: why, and what would."""
    report = error.report
    assert report is not None
    return {
        "schema_version": SCHEMA_VERSION,
        "fits": False,
        "message": error.message,
        "model": report.model,
        "target": report.target,
        "rule": report.rule,
        "limits": [{**asdict(limit), "deficit": limit.deficit} for limit in report.limits],
        "proof": {
            "holds_for": report.proven,
            "bound": report.bound,
            "crossbars_at_least": report.at_least,
            "sentence": report.proof,
        },
        "levers": [asdict(lever) for lever in report.levers],
    }
