"""What went where, and why not: the figures of a program, as data and for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from afmc.defect_map import DefectMap
from afmc.ir import SCHEMA_VERSION, Lever, Program, Remainder
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.artifact import Artifact


# How the frontend ends the reason of a product that could go to tiles one day.
NOT_LOWERED = "not lowered yet"

_BOUND_IS_OVER = {
    "exclusive": "one block a tile",
    "parallel": "layouts in which the blocks of a tile share neither a row nor a column",
}


def summarise(program: Program, target: Target, levers: Sequence[Lever]) -> dict[str, Any]:
    """The figures that follow from the program alone; all derived, so equal on every machine.

    Multiply-accumulates are those of the matrices that were found, for
    one token; attention products, whose number grows with the context, are not among them, nor
    are products that are not lowered yet (``weights_not_lowered``). Tiles are counted
    by crossbars: a tier of a stacked tile is one.
    """
    assert program.allocation is not None and program.digital is not None
    analog = program.analog
    digital = [m for m in program.matrices if m.name in program.digital]
    macs = sum(m.macs_per_token for m in program.matrices)
    crossbars = np.unique(program.placements[["chip", "tile", "tier"]])
    cells = target.crossbar.rows * target.crossbar.columns * len(crossbars)
    biases = sum(m.cols for m in program.matrices if m.bias)
    on_tiles = sum(m.weights for m in analog)
    kept = sum(m.weights for m in digital)
    both = sum(m.weights for m in analog if m.tied_to is not None)
    return {
        "model": program.model.name,
        "architecture": program.model.architecture,
        "model_sha256": program.model.sha256,
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
        "tiles_used": len(crossbars),
        "tiles_lower_bound": program.allocation.lower_bound,
        "bounds": dict(program.allocation.bounds),
        "gap": program.allocation.gap,
        "solver_status": program.allocation.status,
        "rule": program.allocation.rule,
        "bound_is_over": _BOUND_IS_OVER[program.allocation.rule],
        "chips_used": int(program.placements["chip"].max(initial=-1)) + 1,
        "utilization": on_tiles / cells,
        "defects": _defects(program, target),
        "levers": [asdict(lever) for lever in levers],
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


def render(artifact: Artifact) -> RenderableType:
    """The same for a person."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    summary = summarise(artifact.program, artifact.target, artifact.levers)
    facts = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, text in _facts(artifact, summary):
        facts.add_row(name, text)

    mapping = Table(
        title="analog: matrices by kind", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in ("matrices", "rows x cols", "count", "blocks", "crossbars", "use of cells"):
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
    for row in _not_analog(artifact.program):
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
        levers.add_column("if")
        for lever in summary["levers"]:
            tiles, chips = f"{lever['tiles']:,}", f"{lever['chips']:,}"
            levers.add_row(lever["change"], tiles, chips, lever["needs"])
        parts.append(levers)
    return Group(*parts)


def _facts(artifact: Artifact, s: dict[str, Any]) -> list[tuple[str, str]]:
    program, target = artifact.program, artifact.target
    both = s["weights_on_both_sides"]
    limit = target.system.chips
    rows = [
        ("model", f"{s['model']} ({s['architecture']}), {program.model.parameters:,} weights"),
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
        (
            "chips",
            f"{s['chips_used']:,} of {target.chip.tiles} tiles"
            + (f"; the system has {limit}" if limit is not None else "; the system sets no limit"),
        ),
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
    if target.overrides:
        changed = ", ".join(f"{key}={value}" for key, value in target.overrides.items())
        rows.insert(2, ("overridden", f"{changed}: set by the user, not the target's own"))
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
    if program.calibration is not None:
        c = program.calibration
        return f"calibrated, {c.method} over {c.tokens:,} tokens of {c.text}"
    if any(m.input_range for m in program.analog):
        return "from the model"
    return "none: the target's converters are perfect"


def _kind(name: str) -> str:
    """``model.layers.3.mlp.up_proj.weight`` is one of ``model.layers.*.mlp.up_proj.weight``."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _kinds(program: Program, target: Target) -> list[tuple[str, ...]]:
    members: dict[tuple[str, int, int], list[int]] = {}
    for index, group in enumerate(program.groups):
        members.setdefault((_kind(group.name), group.rows, group.cols), []).append(index)
    owner = program.blocks["group"][program.placements["block"]]
    crossbar = np.unique(program.placements[["chip", "tile", "tier"]], return_inverse=True)[1]
    rows: list[tuple[str, ...]] = []
    for (kind, height, width), indices in members.items():
        mine = np.isin(owner, indices)
        used = len(np.unique(crossbar[mine]))
        copies = sum(program.groups[i].copies for i in indices)
        share = height * width * copies / (used * target.crossbar.rows * target.crossbar.columns)
        rows.append(
            (
                kind,
                f"{height} x {width}",
                f"{copies:,}",
                f"{int(mine.sum()):,}",
                f"{used:,}",
                f"{100 * share:.0f} %",
            )
        )
    return rows


def _not_analog(program: Program) -> list[tuple[str, ...]]:
    assert program.digital is not None
    by_name = program.by_name
    matrices: Counter[tuple[str, str]] = Counter()
    weights: Counter[tuple[str, str]] = Counter()
    for name, reason in program.digital.items():
        key = (_kind(name), reason)
        matrices[key] += 1
        weights[key] += by_name[name].weights
    rows: list[tuple[str, ...]] = [
        (f"{kind}: {why}", f"{n:,}", f"{weights[kind, why]:,}")
        for (kind, why), n in matrices.items()
    ]
    biases = [m for m in program.matrices if m.bias]
    if biases:
        total = sum(m.cols for m in biases)
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
