"""What went where, and why not: the figures of a program, as data and for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from afmc.defect_map import DefectMap
from afmc.errors import CapacityError
from afmc.ir import SCHEMA_VERSION, Lever, Placing, Program, Remainder
from afmc.passes.limits import limits
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.artifact import Artifact


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
    crossbars = int(np.count_nonzero(np.bincount(crossbars_of(program, target))))
    cells = target.crossbar.rows * target.crossbar.columns * crossbars
    biases = sum(m.cols * m.copies for m in program.matrices if m.bias)
    on_tiles = sum(m.weights for m in analog)
    held = int(program.blocks["rows"].astype(np.int64) @ program.blocks["cols"])
    kept = sum(m.weights for m in digital)
    both = sum(m.weights for m in analog if m.tied_to is not None)
    chips = int(program.placements["chip"].max(initial=-1)) + 1
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
        "chips_used": chips,
        "limits": [
            {**asdict(limit), "left": limit.left} for limit in limits(program, target, chips)
        ],
        "placing": asdict(program.placing) if program.placing is not None else None,
        "utilization": held / cells,
        "replication": None if program.replication is None else _replication(program, target),
        "routing": _routing(program),
        "defects": _defects(program, target),
        "blocks_moved": program.moved,
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
        at_once = "one token" if claim.tokens == 1 else f"{claim.tokens:,} tokens"
        return (
            f"no gain: for {at_once} at once no matrix is used more than once, and a second copy "
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
    chips = int(program.placements["chip"].max(initial=-1)) + 1
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


def inspect_json(artifact: Artifact) -> dict[str, Any]:
    """``inspect --json`` and ``compile --json``: the summary, and what was measured compiling."""
    program = artifact.program
    assert program.digital is not None
    return {
        "schema_version": SCHEMA_VERSION,
        **summarise(program, artifact.target, artifact.levers),
        "wall_s": artifact.measured["wall_s"],
        "peak_rss_mb": artifact.measured["peak_rss_mb"],
        "stages_s": artifact.measured["stages_s"],
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


def render(artifact: Artifact) -> RenderableType:
    """The same for a person."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    summary = summarise(artifact.program, artifact.target, artifact.levers)
    facts = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, text in facts_of(artifact, summary):
        facts.add_row(name, text)

    mapping = Table(
        title="analog: matrices by kind", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    names = ("matrices", "rows x cols", "cut into", "count", "blocks", "crossbars", "use of cells")
    for column in names:
        mapping.add_column(column, justify="left" if column == "matrices" else "right")
    for row in _kinds(artifact.program, artifact.target):
        mapping.add_row(*row)

    rest = Table(
        title="digital: and why (--json lists every operator)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("what", "count", "weights"):
        rest.add_column(column, justify="left" if column == "what" else "right")
    for row in not_analog(artifact.program):
        rest.add_row(*row)

    parts: list[RenderableType] = [facts, mapping, rest]
    if summary["levers"]:
        levers = Table(
            title="levers: changes that need fewer tiles, each checked",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        levers.add_column("option")
        levers.add_column("tiles", justify="right")
        levers.add_column("chips", justify="right")
        levers.add_column("digital MACs", justify="right")
        levers.add_column("if")
        for lever in summary["levers"]:
            tiles, chips = f"{lever['tiles']:,}", f"{lever['chips']:,}"
            lost = f"{100 * lever['macs_lost']:.1f} %" if lever["macs_lost"] else ""
            levers.add_row(lever["change"], tiles, chips, lost, lever["needs"])
        parts.append(levers)
    return Group(*parts)


def facts_of(artifact: Artifact, s: dict[str, Any]) -> list[tuple[str, str]]:
    program, target = artifact.program, artifact.target
    both = s["weights_on_both_sides"]
    rows = [
        (
            "model",
            f"{s['model']} ({s['architecture']}), {program.model.parameters:,} weights"
            + ("; shapes only, no weights were read" if program.model.shapes_only else ""),
        ),
        ("target", f"{target.name}: {target.title}"),
        (
            "on tiles",
            f"{s['weights_analog']:,} weights of {s['matrices_analog']} matrices; "
            f"{100 * s['macs_analog_fraction']:.1f} % of the multiply-accumulates of all matrices"
            + (
                f", besides {s['weights_not_lowered']:,} weights in products not lowered yet"
                if s["weights_not_lowered"]
                else ""
            ),
        ),
        (
            "digital",
            f"{s['weights_digital']:,} weights; {s['matrices_digital']} matrices"
            + (f"; {both:,} tied weights are on both sides" if both else ""),
        ),
        (
            "tiles",
            f"{s['tiles_used']:,} of {target.crossbar.rows} x {target.crossbar.columns} for "
            f"{s['blocks']:,} blocks, rule {s['rule']}; at least {s['tiles_lower_bound']:,}: "
            f"{s['solver_status']}, gap {100 * s['gap']:.2f} %",
        ),
        ("chips", f"{s['chips_used']:,} of {target.chip.tiles} tiles; {_left(s)}"),
        (
            "turns",
            f"{s['turns']} on the tile with most, {s['mean_turns']:.3f} on average, if all blocks "
            "of a tile are wanted at once"
            + (f"; objective {s['objective']}" if s["objective"] else ""),
        ),
        *_placing(program.placing),
        ("cells used", f"{100 * s['utilization']:.1f} % of those on the tiles used"),
        ("input ranges", _ranges(program)),
        (
            "compiled",
            f"in {artifact.measured['wall_s']:.1f} s, at most "
            f"{artifact.measured['peak_rss_mb']:,.0f} MB (measured)",
        ),
    ]
    if s["defects"] is not None:
        rows[6:6] = _broken(s["defects"])
    if s["blocks_moved"] is not None:
        stay = f"{s['blocks'] - s['blocks_moved']:,} of {s['blocks']:,} blocks"
        place = next(i for i, (name, _) in enumerate(rows) if name == "chips")
        rows.insert(place, ("kept", f"{stay} are where they were, {s['blocks_moved']:,} moved"))
    if s["replication"] is not None:
        place = next(i for i, (name, _) in enumerate(rows) if name == "chips")
        rows.insert(place, ("replicas", _replicas(s["replication"])))
    if s["routing"] is not None:
        rows.insert(-1, ("routing", _routing_line(s["routing"])))
    if target.overrides:
        changed = ", ".join(f"{key}={value}" for key, value in target.overrides.items())
        rows.insert(2, ("overridden", f"{changed}: set by the user, not the target's own"))
    return rows


def _left(s: dict[str, Any]) -> str:
    """What a limited system has left."""
    if not s["limits"]:
        return "the system sets no limit"
    left = {limit["of"]: limit for limit in s["limits"]}
    return (
        f"the system has {left['chips']['supply']:,}: {left['chips']['left']:,} chips and "
        f"{left['crossbars']['left']:,} of its {left['crossbars']['supply']:,} crossbars are left"
    )


def _replicas(r: dict[str, Any]) -> str:
    """The proof of the replicas, and what they are good for."""
    waiting = f", {r['replicas_waiting']:,} of which wait for one" if r["replicas_waiting"] else ""
    return (
        f"{r['replicas']:,} blocks{waiting} ({r['crossbars']:,} of at most {r['budget']:,} "
        f"crossbars), for {r['objective']} at replicate.tokens={r['tokens']}: {r['gain']}; at "
        f"least {r['lower_bound']:,}: {r['status']}"
    )


def _placing(placing: Placing | None) -> list[tuple[str, str]]:
    """How good the placement is: each figure with what no placement could undercut."""
    if placing is None:
        return []
    reads = (
        f"{placing.strategy}: {placing.reads:,.6g} reads one after the other for a token, at least "
        f"{placing.reads_bound:,.6g}; the busiest tile {placing.load:,.4g}, at least "
        f"{placing.load_bound:,.4g}"
    )
    rows = [("placement", reads)]
    if placing.experts is not None:
        e = placing.experts
        rows.append(
            (
                "experts",
                f"{e.reads:,.4g} of these reads, at least {e.bound:,.4g}; in order "
                f"{e.in_order:,.4g}, at random {e.at_random:,.4g}; on {e.tokens:,} tokens held "
                f"out: {e.source}",
            )
        )
    traffic = (
        f"{placing.border_bytes:,.0f} bytes a token across borders of chips, the least there is"
    )
    if placing.strategy != "balanced":
        traffic = f"{placing.border_bytes:,.0f} bytes a token across borders of chips"
    if placing.chips == 1:
        traffic = "one chip"
    if placing.byte_hops is not None and placing.byte_hops_bound is not None:
        gap = 1 - placing.byte_hops_bound / placing.byte_hops if placing.byte_hops else 0.0
        traffic += (
            f"; {placing.byte_hops:,.0f} byte-hops on them, at least "
            f"{placing.byte_hops_bound:,.0f}, gap {100 * gap:.0f} %"
        )
    if placing.chips > 1 or placing.byte_hops is not None:
        rows.append(("traffic", traffic))
    return rows


def _broken(defects: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        (
            "defects",
            f"{defects['map']}: {defects['dead_crossbars']:,} dead crossbars passed by, "
            f"{defects['crossbars_with_dead_lines_used']:,} of "
            f"{defects['crossbars_with_dead_lines']:,} with dead lines used, "
            f"{defects['crossbars_spare']:,} crossbars of these chips spare",
        )
    ]
    repair = defects["repair"]
    if repair is not None:
        methods = " and ".join(repair["methods"]) or "nothing done"
        inputs = f"inputs as on {repair['inputs']}" if repair["inputs"] else "all inputs alike"
        lines.append(
            (
                "stuck cells",
                f"{repair['devices']:,} devices under weights, {methods}: squared error of a "
                f"product {100 * repair['error_without']:.3g} % without, "
                f"{100 * repair['error']:.3g} % now (mean over matrices, {inputs})",
            )
        )
    return lines


def _ranges(program: Program) -> str:
    if program.model.shapes_only:
        return "none: shapes only"
    if program.calibration is not None:
        c = program.calibration
        return f"calibrated, {c.method} over {c.tokens:,} tokens of {c.text}"
    if any(m.input_range for m in program.analog):
        return "from the model"
    return "none: the target's converters are perfect"


def _routing_line(r: dict[str, Any]) -> str:
    return (
        f"{r['source']}: the most popular expert takes {100 * r['most_popular_share']:.1f} %, the "
        f"least popular {100 * r['least_popular_share']:.1f} % of its bank's uses (even: "
        f"{100 * r['even_share']:.1f} %)"
    )


def kind_of(name: str) -> str:
    """``model.layers.3.mlp.up_proj.weight`` is one of ``model.layers.*.mlp.up_proj.weight``."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def crossbars_of(program: Program, target: Target) -> NDArray[np.int64]:
    """The crossbar of each placement, counted through."""
    placed = program.placements
    tile = placed["chip"].astype(np.int64) * target.chip.tiles + placed["tile"]
    return tile * target.tile.tiers + placed["tier"]


def _kinds(program: Program, target: Target) -> list[tuple[str, ...]]:
    members: dict[tuple[str, int, int], list[int]] = {}
    for index, group in enumerate(program.groups):
        members.setdefault((kind_of(group.name), group.rows, group.cols), []).append(index)
    kind_of_group = np.zeros(len(program.groups), np.int16)
    for number, indices in enumerate(members.values()):
        kind_of_group[indices] = number
    kinds = kind_of_group[program.blocks["group"][program.placements["block"]]]
    by_kind = np.argsort(kinds, kind="stable")
    ends = np.cumsum(np.bincount(kinds, minlength=len(members)))
    of_kind = np.split(crossbars_of(program, target)[by_kind], ends[:-1])
    rows: list[tuple[str, ...]] = []
    for ((kind, height, width), indices), mine in zip(members.items(), of_kind, strict=True):
        used = int(np.count_nonzero(np.bincount(mine)))
        groups = [program.groups[i] for i in indices]
        copies = sum(group.copies for group in groups)
        held = height * width * sum(sum(group.replicas) or group.copies for group in groups)
        share = held / (used * target.crossbar.rows * target.crossbar.columns)
        rows.append(
            (
                kind,
                f"{height} x {width}",
                _cuts(program, indices[0]),
                f"{copies:,}",
                f"{len(mine):,}",
                f"{used:,}",
                f"{100 * share:.0f} %",
            )
        )
    return rows


def _cuts(program: Program, group: int) -> str:
    """``512+64 x 3*512``: the pieces of a matrix's rows, and of its columns."""
    blocks = program.blocks[program.blocks["group"] == group]
    first = blocks[(blocks["copy"] == 0) & (blocks["replica"] == 0)]

    def pieces(start: str, size: str) -> str:
        _, which = np.unique(first[start], return_index=True)
        runs = [(length, len(list(run))) for length, run in groupby(first[size][which].tolist())]
        return "+".join(f"{count}*{length}" if count > 1 else f"{length}" for length, count in runs)

    return f"{pieces('row', 'rows')} x {pieces('col', 'cols')}"


def not_analog(program: Program) -> list[tuple[str, ...]]:
    assert program.digital is not None
    by_name = program.by_name
    matrices: Counter[tuple[str, str]] = Counter()
    weights: Counter[tuple[str, str]] = Counter()
    for name, reason in program.digital.items():
        key = (kind_of(name), reason)
        matrices[key] += 1
        weights[key] += by_name[name].weights
    rows: list[tuple[str, ...]] = [
        (f"{kind}: {why}", f"{n:,}", f"{weights[kind, why]:,}")
        for (kind, why), n in matrices.items()
    ]
    biases = [m for m in program.matrices if m.bias]
    if biases:
        total = sum(m.cols * m.copies for m in biases)
        rows.append(("biases: added after the converters", f"{len(biases):,}", f"{total:,}"))
    return rows + [
        (f"{reason}: {operators}", f"{count:,}", f"{held:,}" if held else "")
        for reason, operators, count, held in _by_reason(program)
    ]


def _by_reason(program: Program) -> list[tuple[str, str, int, int]]:
    """The remainder: reason, its operators, how many operations, how many weights."""
    reasons: dict[str, list[Remainder]] = {}
    for rest in program.remainder:
        reasons.setdefault(rest.reason, []).append(rest)
    rows = []
    for reason, rests in reasons.items():
        names = sorted({rest.operation.split(".")[1] for rest in rests if "." in rest.operation})
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        counts, weights = sum(r.count for r in rests), sum(r.weights for r in rests)
        rows.append((reason, shown, counts, weights))
    return sorted(rows, key=lambda row: (-row[3], row[0]))
