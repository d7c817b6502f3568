"""The figures of a program, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from afmc.common.described import described, plain
from afmc.errors import CapacityError
from afmc.fit import Lever, Rule
from afmc.hardware.defect_map import DefectMap
from afmc.program.layout import layout_of
from afmc.program.limits import limits
from afmc.program.observed import Training
from afmc.program.program import (
    SCHEMA_VERSION,
    Objective,
    Placing,
    Program,
    Repair,
    Replication,
    SolverStatus,
)
from afmc.program.recovery_work import RecoverySummary, recovery_of
from afmc.program.trained_for import notes
from afmc.targets import Target

if TYPE_CHECKING:
    from afmc.program.compiled import CompiledProgram


_BOUND_IS_OVER = {
    "exclusive": "one block a tile",
    "parallel": "layouts in which blocks of a tile share no column, and rows only where they read "
    "the same rows of the same input",
    "serial": "all layouts in which the blocks of a tile do not overlap",
}


@dataclass(frozen=True)
class Left:
    """What a mapping takes of something that a system has only so much of."""

    of: Literal["chips", "crossbars", "cells"] = described("What there is only so much of.")
    demand: int = described("How much the mapping takes.")
    supply: int = described("How much the system has.")
    left: int = described("How much of the supply is left.")


@dataclass(frozen=True, kw_only=True)
class Replicas(Replication):
    """What replicas save, and how many blocks they are."""

    replicas: int = described("Blocks that are there again.")
    replicas_waiting: int = described("Of these, on a tile with another of the same weights.")
    gain: str = described("What replicas are good for, in words.")


@dataclass(frozen=True)
class Popularity:
    """How evenly the sample's uses of a bank spread over its experts, over all banks."""

    source: str = described("Where the tokens are from.")
    tokens: int = described("Tokens whose experts are known.")
    modules: int = described("Banks of experts.")
    most_popular_share: float = described("Largest share that an expert has of its bank's uses.")
    least_popular_share: float = described("Least share that an expert has of its bank's uses.")
    even_share: float = described("The share of each, were all equally popular.")


@dataclass(frozen=True)
class Broken:
    """What the map of defects took away on the chips up to the last one used."""

    map: str = described("What is broken, by name.")
    dead_crossbars: int = described("Dead crossbars on the chips used.")
    crossbars_with_dead_lines: int = described("Crossbars with dead lines on the chips used.")
    crossbars_with_dead_lines_used: int = described("Of these, with blocks on them.")
    crossbars_spare: int = described("Crossbars that are neither dead nor used.")
    repair: Repair | None = described("Repair of stuck cells; null where nothing was done.")


@dataclass(frozen=True)
class Summary:
    """The figures that follow from a program alone; all derived, so equal on every machine.

    Multiply-accumulates are those of the matrices that were found, for
    one token; attention products, whose number grows with the context, are not among them, nor
    are products that are not lowered yet (``weights_not_lowered``). Tiles are counted
    by crossbars: a tier of a stacked tile is one. Cells in use are those of all replicas.
    """

    model: str = described("The model, as it was named.")
    architecture: str = described("The class of the model.")
    model_sha256: str = described(
        "Hash of the weights, or of the configuration where only shapes were read."
    )
    shapes_only: bool = described("Whether no weights were read.")
    target: str = described("The hardware, by its name.")
    target_overrides: Mapping[str, Any] = described("Figures of the target that were set, by key.")
    matrices_analog: int = described("Matrices on tiles.")
    matrices_digital: int = described("Matrices that stay digital.")
    weights_analog: int = described("Weights on tiles.")
    weights_digital: int = described("Weights elsewhere, those on both sides included.")
    weights_on_both_sides: int = described("Tied weights: on tiles, and read as a look-up.")
    weights_not_lowered: int = described("Weights of products that could go to tiles one day.")
    macs_per_token: float = described(
        "Multiply-accumulates of all matrices for a token.", "multiply-accumulates"
    )
    macs_analog_fraction: float = described("Share of these on tiles.")
    blocks: int = described("Rectangles of matrices that one crossbar holds.")
    tiles_used: int = described("Crossbars with a block; a tier of a stacked tile is one.")
    tiles_lower_bound: int = described(
        "The largest of the bounds: no allocation under this rule has fewer tiles."
    )
    bounds: Mapping[str, int] = described("Every bound that was computed, by its name.")
    gap: float = described("(tiles - bound) / tiles.")
    solver_status: SolverStatus = described("OPTIMAL where the bound is reached.")
    rule: Rule = described("The rule by which blocks share tiles.")
    objective: Objective | None = described(
        "What merging, cutting and packing were to be best in; null if no such pass ran."
    )
    turns: int = described(
        "Sequential reads on the tile with most when all its blocks are needed together."
    )
    mean_turns: float = described("Mean of these reads over the tiles.")
    bound_is_over: str = described("All layouts that the bound holds for.")
    chips_used: int = described("Chips up to the last that holds a block.")
    limits: tuple[Left, ...] = described("Limits of the system; empty where it sets none.")
    placing: Placing | None = described(
        "What the placement achieved; null where blocks were moved since."
    )
    utilization: float = described("Share of the cells of the tiles used that hold weights.")
    replication: Replicas | None = described("What replicas save; null without them.")
    routing: Popularity | None = described(
        "How evenly experts are used; null where that is not known."
    )
    defects: Broken | None = described("What is broken; null where nothing is.")
    blocks_moved: int | None = described(
        "Blocks moved since an earlier compile that was kept; null without one."
    )
    recovery: RecoverySummary | None = described(
        "What was done to recover accuracy, and what that costs; null for -O0."
    )
    training: Training | None = described(
        "The hardware that the model was trained for; null where it does not say."
    )
    notes: tuple[str, ...] = described("How the target differs from that, in sentences.")
    levers: tuple[Lever, ...] = described("Changes that take fewer tiles, each checked.")

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the order of the fields."""
        found: dict[str, Any] = plain(self)
        return found


def summarise(program: Program, target: Target, levers: Sequence[Lever]) -> Summary:
    """The summary of a program that has been allocated and placed."""
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
    return Summary(
        model=program.model.name,
        architecture=program.model.architecture,
        model_sha256=program.model.sha256,
        shapes_only=program.model.shapes_only,
        target=target.name,
        target_overrides=dict(target.overrides),
        matrices_analog=len(analog),
        matrices_digital=len(digital),
        weights_analog=on_tiles,
        weights_digital=kept + biases + both + sum(rest.weights for rest in program.remainder),
        weights_on_both_sides=both,
        weights_not_lowered=sum(r.weights for r in program.remainder if not r.lowered),
        macs_per_token=macs,
        macs_analog_fraction=sum(m.macs_per_token for m in analog) / macs,
        blocks=len(program.blocks),
        tiles_used=crossbars,
        tiles_lower_bound=program.allocation.lower_bound,
        bounds=dict(program.allocation.bounds),
        gap=program.allocation.gap,
        solver_status=program.allocation.status,
        rule=program.allocation.rule,
        objective=_objective(program),
        turns=program.allocation.turns,
        mean_turns=program.allocation.mean_turns,
        bound_is_over=_BOUND_IS_OVER[program.allocation.rule],
        chips_used=layout.chips,
        limits=tuple(
            Left(limit.of, limit.demand, limit.supply, limit.left)
            for limit in limits(program, target, layout.chips)
        ),
        placing=program.placing,
        utilization=held / cells,
        replication=_replication(program, target),
        routing=_routing(program),
        defects=_defects(program, target),
        blocks_moved=program.moved,
        recovery=recovery_of(program),
        training=program.training,
        notes=tuple(notes(program, target)),
        levers=tuple(levers),
    )


def _replication(program: Program, target: Target) -> Replicas | None:
    claim = program.replication
    if claim is None:
        return None
    return Replicas(
        **{each.name: getattr(claim, each.name) for each in fields(claim)},
        replicas=int((program.blocks["replica"] > 0).sum()),
        replicas_waiting=_waiting(program, target),
        gain=_gain(program),
    )


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
    if claim.objective == "accuracy":
        return (
            f"products are the mean of replicas, which leaves {claim.divergence:.3g} of "
            f"{claim.divergence_alone:.3g} nats, summed over matrices; no choice leaves less than "
            f"{claim.divergence_bound:.3g}"
        )
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


def _objective(program: Program) -> Objective | None:
    """What merging, cutting and packing were to be best in; None if no such pass ran."""
    options = {step.name: step.options for step in program.applied}
    asked = (options.get(name, {}).get("objective") for name in ("merge", "split", "allocate"))
    return next(filter(None, asked), None)


def _routing(program: Program) -> Popularity | None:
    if program.routing is None:
        return None
    modules = {m.module: m for m in program.matrices if m.module in program.routing.experts}
    shares = [program.routing.shares(bank) for bank in modules.values()]
    most = max(shares, key=lambda share: share.max())
    return Popularity(
        source=program.routing.source,
        tokens=max(map(len, program.routing.experts.values())),
        modules=len(modules),
        most_popular_share=float(most.max()),
        least_popular_share=float(min(share.min() for share in shares)),
        even_share=1 / len(most),
    )


def _defects(program: Program, target: Target) -> Broken | None:
    if program.defects is None:
        return None
    chips = layout_of(program, target).chips
    crossbars = DefectMap(program.defects, target).crossbars(np.arange(chips))
    rows, columns = target.crossbar.rows, target.crossbar.columns
    partial = ~crossbars["dead"] & ((crossbars["rows"] < rows) | (crossbars["cols"] < columns))
    used_here = np.zeros_like(partial)
    used_here[tuple(program.placements[key] for key in ("chip", "tile", "tier"))] = True
    return Broken(
        map=program.defects.name,
        dead_crossbars=int(crossbars["dead"].sum()),
        crossbars_with_dead_lines=int(partial.sum()),
        crossbars_with_dead_lines_used=int((partial & used_here).sum()),
        crossbars_spare=int((~crossbars["dead"] & ~used_here).sum()),
        repair=program.repair,
    )


def inspect_json(compiled: CompiledProgram) -> dict[str, Any]:
    """``inspect --json`` and ``compile --json``: the summary, and what was measured compiling."""
    program = compiled.program
    assert program.digital is not None
    return {
        "schema_version": SCHEMA_VERSION,
        **compiled.summary.to_json(),
        "wall_s": compiled.measured["wall_s"],
        "peak_rss_mb": compiled.measured["peak_rss_mb"],
        "stages_s": compiled.measured["stages_s"],
        "passes": [{"name": a.name, "options": dict(a.options)} for a in program.applied],
        "digital": dict(program.digital),
        "remainder": [
            {
                "operation": r.operation,
                "count": r.count,
                "weights": r.weights,
                "reason": r.reason,
                "lowered": r.lowered,
            }
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
