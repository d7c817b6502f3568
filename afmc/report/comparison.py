"""The page of `afmc compare`: compiles side by side, with what differs marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from afmc.common.numbers import nanojoules, per_second, percent
from afmc.compare import Comparison, Row, words
from afmc.costs import Costs, Part
from afmc.costs.parts import Where
from afmc.program.compiled import CompiledProgram
from afmc.report import html

_SCRIPTS = ("sort.js", "compare.js")
GROUPS: tuple[Where, ...] = get_args(Where)


@dataclass(frozen=True)
class Figure:
    """A row: what it is, and its value in each compile."""

    label: str
    differs: bool
    values: tuple[str, ...]


@dataclass(frozen=True)
class Glance:
    """A compile in a row; widths are per cent of the most tiles."""

    name: str
    model: str
    target: str
    tiles: int
    width: float
    at_least: int
    at_least_width: float
    gap: float
    proof: str
    chips: int
    tokens_per_s: float
    speed: str
    energy_nJ: float
    joules: str


@dataclass(frozen=True)
class Bar:
    """A part of a token in one compile; the width is per cent of the largest of the workload."""

    text: str
    energy_nJ: float
    """What it is sorted by: -1 where it is not known, -2 where there is no such part."""
    width: float


@dataclass(frozen=True)
class Piece:
    """Piece of a stacked bar: where energy goes; per cent of the most that a token takes."""

    group: int
    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Stack:
    name: str
    total: str
    pieces: tuple[Piece, ...]
    text: str
    """Its value in words."""


@dataclass(frozen=True)
class Energy:
    """Energy of a token under one workload."""

    title: str
    stacks: tuple[Stack, ...]
    groups: tuple[tuple[int, str], ...]
    """Those that take any: number and name."""
    parts: tuple[tuple[str, tuple[Bar, ...]], ...]
    totals: tuple[str, ...]


def comparison_page(found: Comparison) -> str:
    """One page of HTML that needs nothing else. The same comparison gives the same page."""
    return (
        html.environment()
        .get_template("compare.html.j2")
        .render(
            names=[str(directory) for directory in found.directories],
            sentences=list(words.sentences(found)),
            glance=_glance(found),
            first=found.by_workload[0][0] if found.by_workload else "",
            figures=_in_words(found.figures, words.figure),
            costs=_in_words(found.costs, words.cost),
            accuracy=_in_words(found.accuracy, words.perplexity),
            options=_in_words(found.options, words.setting),
            target=_in_words(found.target, words.setting),
            energies=[_energy(found, title, costs) for title, costs in found.by_workload],
            left_out=_left_out(found),
            provenance=_provenance(found.compiles),
            differs=words.DIFFERS,
            percent=percent,
            **html.shared(_SCRIPTS),
        )
    )


def _in_words(
    rows: Sequence[Row], in_words: Callable[[Row], tuple[str, Sequence[str]]]
) -> list[Figure]:
    found = []
    for row in rows:
        label, values = in_words(row)
        found.append(Figure(label, row.differs, tuple(values)))
    return found


def _glance(found: Comparison) -> list[Glance]:
    summaries = [kept.summary for kept in found.compiles]
    most = max(summary.tiles_used for summary in summaries) or 1
    first = found.by_workload[0][1] if found.by_workload else (None,) * len(summaries)
    return [
        Glance(
            name=str(name),
            model=summary.model,
            target=summary.target,
            tiles=summary.tiles_used,
            width=_per_cent(summary.tiles_used, most),
            at_least=summary.tiles_lower_bound,
            at_least_width=_per_cent(summary.tiles_lower_bound, most),
            gap=summary.gap,
            proof=summary.solver_status,
            chips=summary.chips_used,
            tokens_per_s=-1.0 if costs is None else costs.tokens_per_s,
            speed=per_second(None if costs is None else costs.tokens_per_s),
            energy_nJ=-1.0 if costs is None else costs.energy_nJ,
            joules=nanojoules(None if costs is None else costs.energy_nJ),
        )
        for name, summary, costs in zip(found.directories, summaries, first, strict=True)
    ]


def _per_cent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2) if whole else 0.0


def _energy(found: Comparison, title: str, each: Sequence[Costs]) -> Energy:
    by_name = [{part.name: part for part in costs.parts} for costs in each]
    names = list(dict.fromkeys(name for parts in by_name for name in parts))
    largest = {
        name: max(parts[name].energy_nJ or 0.0 for parts in by_name if name in parts)
        for name in names
    }
    most = max(largest.values(), default=0.0)
    total = max(costs.energy_nJ for costs in each)
    taken = {
        part.group for costs in each for part in costs.parts if part.energy_nJ
    }  # fmt: skip
    return Energy(
        title=title,
        stacks=tuple(
            _stack(str(name), costs, total)
            for name, costs in zip(found.directories, each, strict=True)
        ),
        groups=tuple((number, group) for number, group in enumerate(GROUPS) if group in taken),
        parts=tuple(
            (name, tuple(_bar(parts.get(name), most) for parts in by_name))
            for name in sorted(names, key=lambda name: -largest[name])
        ),
        totals=tuple(nanojoules(costs.energy_nJ) for costs in each),
    )


def _bar(part: Part | None, most: float) -> Bar:
    if part is None:
        return Bar("-", -2.0, 0.0)
    if part.energy_nJ is None:
        return Bar(nanojoules(None), -1.0, 0.0)
    return Bar(nanojoules(part.energy_nJ), part.energy_nJ, _per_cent(part.energy_nJ, most))


def _stack(name: str, costs: Costs, most: float) -> Stack:
    pieces: list[Piece] = []
    at = 0.0
    for number, group in enumerate(GROUPS):
        energy = sum(part.energy_nJ or 0.0 for part in costs.parts if part.group == group)
        if not energy:
            continue
        share = percent(energy / costs.energy_nJ)
        text = f"{group} {nanojoules(energy)}, {share}"
        pieces.append(Piece(number, _per_cent(at, most), _per_cent(energy, most), text))
        at += energy
    joules = nanojoules(costs.energy_nJ)
    words = "; ".join(piece.text for piece in pieces)
    return Stack(name, joules, tuple(pieces), f"{name}: {joules} a token: {words}")


def _left_out(found: Comparison) -> list[tuple[str, str]]:
    """What nobody has published, of each compile: it is the same for every workload."""
    if not found.by_workload:
        return []
    return [
        (str(name), sentence)
        for name, costs in zip(found.directories, found.by_workload[0][1], strict=True)
        for sentence in costs.missing
    ]


def _provenance(compiles: Sequence[CompiledProgram]) -> list[tuple[str, tuple[str, ...]]]:
    def of(text: Callable[[CompiledProgram], str]) -> tuple[str, ...]:
        return tuple(map(text, compiles))

    rows = [
        ("compiled with afmc", of(lambda kept: kept.version)),
        ("compiled in, measured", of(lambda kept: f"{kept.measured['wall_s']:.2f} s")),
        (
            "memory while compiling, measured",
            of(lambda kept: f"{kept.measured['peak_rss_mb']:,.0f} MB"),
        ),
        ("SHA-256 of the weights", of(lambda kept: _hash(kept, shapes_only=False))),
        ("SHA-256 of the configuration", of(lambda kept: _hash(kept, shapes_only=True))),
        ("target", of(lambda kept: f"{kept.target.name}: {kept.target.title}")),
        (
            "set by the user",
            of(
                lambda kept: (
                    ", ".join(f"target.{k}={v}" for k, v in kept.target.overrides.items())
                    or "nothing"
                )
            ),
        ),
    ]
    return [(label, values) for label, values in rows if set(values) != {"-"}]


def _hash(kept: CompiledProgram, *, shapes_only: bool) -> str:
    model = kept.program.model
    return model.sha256 if model.shapes_only == shapes_only else "-"
