"""Energy and latency of a token: bars, their origins, and the timeline of the critical path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from afmc.common.numbers import UNKNOWN, count, nanojoules, nanoseconds, per_second, percent, short
from afmc.costs import Costs, Part
from afmc.costs.schedule import Kind, Step
from afmc.report.scale import ticks

STEPS = 600
"""Most steps of the critical path that are drawn."""
LANES: tuple[Kind, ...] = ("tile", "digital", "memory", "link")


@dataclass(frozen=True)
class Bar:
    """A row of the breakdown; widths are per cent of the largest."""

    part: Part
    energy: str
    energy_share: str
    energy_width: float
    latency: str
    latency_share: str
    latency_width: float
    count: str
    value: str


@dataclass(frozen=True)
class Mark:
    """A rectangle of the timeline, in thousandths of its width."""

    lane: int
    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Timeline:
    lanes: tuple[str, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    longest: tuple[tuple[str, str, str, str, str], ...]
    """Name, kind, start, duration, share of the whole."""
    note: str


@dataclass(frozen=True)
class CostView:
    title: str
    facts: tuple[tuple[str, str], ...]
    top: tuple[tuple[str, str, str], ...]
    """The three parts with most energy: name, energy, share."""
    bars: tuple[Bar, ...]
    timeline: Timeline | None
    missing: tuple[str, ...]
    energy: dict[str, float]
    """Energy of a token by matrix, in nJ."""
    speed: str
    joules: str


def view_of(costs: Costs) -> CostView:
    work, plan = costs.workload, costs.schedule
    title = work.described(costs.unit)
    parts = sorted(costs.parts, key=lambda part: -(part.energy_nJ or 0.0))
    known = [part for part in parts if part.energy_nJ]
    return CostView(
        title=title,
        facts=(
            (f"energy of {costs.a_unit}", nanojoules(costs.energy_nJ)),
            ("of that, on assumed figures", _share(costs.assumed_nJ, costs.energy_nJ)),
            (
                "energy without keys and values",
                nanojoules(costs.energy_nJ - costs.cache_nJ),
            ),
            (
                "latency of the prompt"
                if work.phase == "prefill"
                else f"latency of {costs.a_unit}",
                nanoseconds(costs.latency_ns),
            ),
            (f"interval between {costs.unit}s of a stream", nanoseconds(plan.interval_ns)),
            (f"{costs.unit}s a second", per_second(costs.tokens_per_s)),
            (
                "silicon of the chips used",
                UNKNOWN if costs.area_mm2 is None else f"{short(costs.area_mm2)} mm²",
            ),
        ),
        top=tuple(
            (part.name, nanojoules(part.energy_nJ), _share(part.energy_nJ, costs.energy_nJ))
            for part in known[:3]
        ),
        bars=_bars(parts, costs),
        timeline=_timeline(plan.critical_path),
        missing=costs.missing,
        energy={each.name: each.energy_nJ for each in costs.matrices},
        speed=per_second(costs.tokens_per_s),
        joules=nanojoules(costs.energy_nJ),
    )


def _share(part: float | None, whole: float | None) -> str:
    return UNKNOWN if part is None or not whole else percent(part / whole)


def _bars(parts: Sequence[Part], costs: Costs) -> tuple[Bar, ...]:
    most_energy = max((part.energy_nJ or 0.0 for part in parts), default=0.0) or 1.0
    most_latency = max((part.latency_ns or 0.0 for part in parts), default=0.0) or 1.0
    return tuple(
        Bar(
            part=part,
            energy=nanojoules(part.energy_nJ),
            energy_share=_share(part.energy_nJ, costs.energy_nJ),
            energy_width=round(100 * (part.energy_nJ or 0.0) / most_energy, 2),
            latency="" if part.latency_ns is None else nanoseconds(part.latency_ns),
            latency_share=""
            if part.latency_ns is None
            else _share(part.latency_ns, costs.schedule.latency_ns),
            latency_width=round(100 * (part.latency_ns or 0.0) / most_latency, 2),
            count=f"{part.count:,.0f} {part.unit}",
            value="" if part.figure is None else count(part.figure.value),
        )
        for part in parts
    )


def _timeline(path: Sequence[Step]) -> Timeline | None:
    whole = max((step.end_ns for step in path), default=0.0)
    if not whole:
        return None
    lanes = tuple(kind for kind in LANES if any(step.kind == kind for step in path))
    steps, note = _merged(path, whole)
    return Timeline(
        lanes=lanes,
        marks=tuple(
            Mark(
                lane=lanes.index(step.kind),
                x=round(1000 * step.start_ns / whole, 2),
                width=round(max(0.4, 1000 * step.ns / whole), 2),
                text=f"{step.name}: {nanoseconds(step.ns)} from {nanoseconds(step.start_ns)}",
            )
            for step in steps
        ),
        ticks=tuple(
            (round(1000 * tick / whole, 2), nanoseconds(tick)) for tick in ticks(0.0, whole, 6)
        ),
        longest=tuple(
            (
                step.name,
                step.kind,
                nanoseconds(step.start_ns),
                nanoseconds(step.ns),
                percent(step.ns / whole),
            )
            for step in sorted(path, key=lambda s: (s.start_ns - s.end_ns, s.start_ns))[:12]
        ),
        note=note,
    )


def _merged(path: Sequence[Step], whole: float) -> tuple[Sequence[Step], str]:
    """Where there are many steps, those of one kind that begin in the same short stretch of time
    become one."""
    if len(path) <= STEPS:
        return path, ""
    stretches = STEPS // len({step.kind for step in path})

    def stretch(step: Step) -> tuple[Kind, int]:
        return step.kind, int(stretches * step.start_ns / whole)

    ordered = sorted(path, key=lambda step: (*stretch(step), step.start_ns))
    merged = [
        Step(
            name=f"{first.name} and {len(rest)} more" if rest else first.name,
            kind=first.kind,
            start_ns=first.start_ns,
            end_ns=max(step.end_ns for step in (first, *rest)),
        )
        for _, (first, *rest) in groupby(ordered, key=stretch)
    ]
    return merged, (
        f"The critical path has {len(path):,} steps: those of one kind that begin in the same "
        f"{nanoseconds(whole / stretches)} are drawn as one."
    )
