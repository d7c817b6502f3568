"""The summary for a person, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from afmc.common.tables import Listing, facts
from afmc.fit import Lever
from afmc.hardware.defects import what_is_left
from afmc.inspect.kinds import kinds, not_analog
from afmc.inspect.recovered import all_together, dearest
from afmc.program.model import ONE, Unit
from afmc.program.program import Placing, Program
from afmc.program.recovery_work import RecoverySummary
from afmc.program.summary import Broken, Popularity, Replicas, Summary
from afmc.program.trained_for import described

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import CompiledProgram


def render(compiled: CompiledProgram) -> RenderableType:
    """Renders it for a person."""
    from rich.console import Group

    summary = compiled.summary
    parts: list[RenderableType] = [
        facts(facts_of(compiled)),
        Listing(
            "analog: matrices by kind",
            ("matrices", "rows x cols", "cut into", "count", "blocks", "crossbars", "use of cells"),
            kinds(compiled),
            names=True,
        ),
        Listing(
            "digital: and why (--json lists every operator)",
            ("what", "count", "weights"),
            not_analog(compiled.program),
        ),
    ]
    parts += _improved(compiled)
    if summary.levers:
        parts.append(
            Listing(
                "levers: changes that need fewer tiles, each checked",
                ("option", "tiles", "chips", "digital MACs", "requires that"),
                map(_lever, summary.levers),
                left=("requires that",),
            )
        )
    return Group(*parts)


def _improved(compiled: CompiledProgram) -> Iterator[RenderableType]:
    """What was done so that the model works on the target, and which matrices cost most."""
    rewriting, recovery = compiled.program.rewriting, compiled.summary.recovery
    if rewriting is not None:
        yield Listing(
            "rewrites of the weights, and why not",
            ("rewrite", "done", "places", "logits differ by", "why"),
            (
                (
                    step.name,
                    "yes" if step.applied else "no",
                    f"{step.done:,} of {step.of:,}",
                    "" if step.difference is None else f"{step.difference:.1e}",
                    step.reason,
                )
                for step in rewriting.steps
            ),
            left=("why",),
        )
    if recovery is not None:
        yield Listing(
            f"recovery at -O{recovery.level}: what was done, and why not",
            ("step", "done", "what"),
            ((step.name, "yes" if step.applied else "no", step.said) for step in recovery.steps),
            left=("what",),
        )
    costly = list(dearest(compiled.program))
    if costly:
        yield Listing(
            "matrices that cost most when they alone are on tiles, before they are corrected",
            ("matrix", "nats a token", "copies", "directions"),
            costly,
        )


def _lever(lever: Lever) -> tuple[str, ...]:
    lost = f"{100 * lever.macs_lost:.1f} %" if lever.macs_lost else ""
    return (lever.change, f"{lever.tiles:,}", f"{lever.chips:,}", lost, lever.needs)


def facts_of(compiled: CompiledProgram) -> list[tuple[str, str]]:
    """Names and sentences, in the order in which they are read."""
    return [*_mapping(compiled), *_quality(compiled)]


def _mapping(compiled: CompiledProgram) -> Iterator[tuple[str, str]]:
    """What is mapped, and onto how much hardware."""
    program, target, s = compiled.program, compiled.target, compiled.summary
    only = "; shapes only, no weights were read" if s.shapes_only else ""
    yield "model", f"{s.model} ({s.architecture}), {program.model.parameters:,} weights{only}"
    yield "target", f"{target.name}: {target.title}"
    if target.overrides:
        changed = ", ".join(f"{key}={value}" for key, value in target.overrides.items())
        yield "overridden", f"{changed}: set by the user, not the target's own"
    later = f", besides {s.weights_not_lowered:,} weights in products not lowered yet"
    yield (
        "on tiles",
        f"{s.weights_analog:,} weights of {s.matrices_analog} matrices; "
        f"{100 * s.macs_analog_fraction:.1f} % of the multiply-accumulates of all matrices"
        f"{later if s.weights_not_lowered else ''}",
    )
    both = f"; {s.weights_on_both_sides:,} tied weights are on both sides"
    yield (
        "digital",
        f"{s.weights_digital:,} weights; {s.matrices_digital} matrices"
        f"{both if s.weights_on_both_sides else ''}",
    )
    yield (
        "tiles",
        f"{s.tiles_used:,} of {target.crossbar.rows} x {target.crossbar.columns} for "
        f"{s.blocks:,} blocks, rule {s.rule}; at least {s.tiles_lower_bound:,}: "
        f"{s.solver_status}, gap {100 * s.gap:.2f} %",
    )
    if s.blocks_moved is not None:
        stay = f"{s.blocks - s.blocks_moved:,} of {s.blocks:,} blocks"
        yield "kept", f"{stay} are where they were, {s.blocks_moved:,} moved"
    if s.replication is not None:
        yield "replicas", _replicas(s.replication)
    yield "chips", f"{s.chips_used:,} of {target.chip.tiles} tiles; {_left(s)}"
    if s.defects is not None:
        yield from _broken(s.defects)
    for sentence in what_is_left(target, program.defects):
        yield "warning", sentence


def _quality(compiled: CompiledProgram) -> Iterator[tuple[str, str]]:
    """How good the mapping is, what it was made from, and what it took to make."""
    program, s = compiled.program, compiled.summary
    yield (
        "tile reads",
        f"at most {s.turns} in sequence per tile (mean {s.mean_turns:.3f}) when all its blocks are "
        f"needed together{f'; objective {s.objective}' if s.objective else ''}",
    )
    yield from _placing(s.placing, program.model.unit)
    yield "cells used", f"{100 * s.utilization:.1f} % of those on the tiles used"
    yield "input ranges", _ranges(program)
    if s.recovery is not None:
        yield "recovery", _recovery(s.recovery)
    if program.recovery is not None and all_together(program.recovery):
        yield "choice", all_together(program.recovery)
    if s.routing is not None:
        yield "routing", _routing_line(s.routing)
    if s.training is not None:
        yield "trained for", described(s.training)
    for note in s.notes:
        yield "note", note
    yield (
        "compiled",
        f"in {compiled.measured['wall_s']:.1f} s, at most "
        f"{compiled.measured['peak_rss_mb']:,.0f} MB (measured)",
    )


def _recovery(r: RecoverySummary) -> str:
    """What the recovery takes of every token."""
    parts = [f"-O{r.level}"]
    if r.rotation_additions:
        parts.append(f"{r.rotation_additions:,.0f} additions a token for rotations")
    if r.correction_macs or r.rotation_macs:
        parts.append(f"{100 * r.correction_share:.2f} % of the multiply-accumulates again")
    if r.correction_values:
        parts.append(
            f"{r.correction_values:,} numbers for each chip, from {r.reads} reads a matrix"
        )
    return ", ".join(parts)


def _left(s: Summary) -> str:
    """What a limited system has left."""
    if not s.limits:
        return "the system sets no limit"
    left = {limit.of: limit for limit in s.limits}
    return (
        f"the system has {left['chips'].supply:,}: {left['chips'].left:,} chips and "
        f"{left['crossbars'].left:,} of its {left['crossbars'].supply:,} crossbars are left"
    )


def _replicas(r: Replicas) -> str:
    """The proof of the replicas, and what they are good for."""
    waiting = f", {r.replicas_waiting:,} of which wait for one" if r.replicas_waiting else ""
    if r.objective == "accuracy":
        return (
            f"{r.replicas:,} blocks{waiting} ({r.crossbars:,} of at most {r.budget:,} crossbars), "
            f"for accuracy: {r.gain}: {r.status}"
        )
    return (
        f"{r.replicas:,} blocks{waiting} ({r.crossbars:,} of at most {r.budget:,} "
        f"crossbars), for {r.objective} at replicate.tokens={r.tokens}: {r.gain}; at "
        f"least {r.lower_bound:,}: {r.status}"
    )


def _placing(placing: Placing | None, unit: Unit) -> list[tuple[str, str]]:
    """How good the placement is: each figure with what no placement could undercut."""
    if placing is None:
        return []
    one = ONE[unit]
    reads = (
        f"{placing.strategy}: {placing.reads:,.6g} reads one after the other for {one}, at least "
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
    traffic = f"{placing.border_bytes:,.0f} bytes {one} across borders of chips, the least there is"
    if placing.strategy != "balanced":
        traffic = f"{placing.border_bytes:,.0f} bytes {one} across borders of chips"
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


def _broken(defects: Broken) -> list[tuple[str, str]]:
    lines = [
        (
            "defects",
            f"{defects.map}: {defects.dead_crossbars:,} dead crossbars passed by, "
            f"{defects.crossbars_with_dead_lines_used:,} of "
            f"{defects.crossbars_with_dead_lines:,} with dead lines used, "
            f"{defects.crossbars_spare:,} crossbars of these chips spare",
        )
    ]
    repair = defects.repair
    if repair is not None:
        methods = " and ".join(repair.methods) or "nothing done"
        inputs = f"inputs as on {repair.inputs}" if repair.inputs else "all inputs alike"
        lines.append(
            (
                "stuck cells",
                f"{repair.devices:,} devices under weights, {methods}: squared error of a "
                f"product {100 * repair.error_without:.3g} % without, "
                f"{100 * repair.error:.3g} % now (mean over matrices, {inputs})",
            )
        )
    return lines


def _ranges(program: Program) -> str:
    if program.model.shapes_only:
        return "none: shapes only"
    if program.calibration is not None:
        c = program.calibration
        what = "tokens" if program.model.unit == "token" else "samples"
        return f"calibrated, {c.method} over {c.tokens:,} {what} of {c.text}"
    if any(m.input_range for m in program.analog):
        several = sum(bool(m.slice_ranges) for m in program.analog)
        return "from the model" + (
            f"; {several:,} matrices have one for each row slice" if several else ""
        )
    return "none: the target's converters are perfect"


def _routing_line(r: Popularity) -> str:
    return (
        f"{r.source}: the most popular expert takes {100 * r.most_popular_share:.1f} %, the "
        f"least popular {100 * r.least_popular_share:.1f} % of its bank's uses (even: "
        f"{100 * r.even_share:.1f} %)"
    )
