"""The page, from a compile and what is known of its costs and its accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from afmc.common.numbers import percent
from afmc.costs import Costs
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.benchmarks.table import table_of
from afmc.evaluation.reading import check_identity
from afmc.evaluation.results import Validation
from afmc.inspect.kinds import not_analog
from afmc.inspect.screen import facts_of
from afmc.program.compiled import CompiledProgram
from afmc.program.program import Program
from afmc.program.summary import Summary
from afmc.report import html, provenance
from afmc.report.accuracy import HEADINGS, AccuracyView
from afmc.report.accuracy import view_of as accuracy_of
from afmc.report.costs import CostView, view_of
from afmc.report.distributions import SIZES
from afmc.report.distributions import view_of as distributions_of
from afmc.report.floor import floor_plan
from afmc.report.matrices import Figure, list_matrices, packed
from afmc.report.names import Kinds

_SCRIPTS = ("data.js", "sort.js", "table.js", "drawing.js", "floor.js")


@dataclass(frozen=True)
class Card:
    """A figure of the summary."""

    label: str
    value: str
    note: str
    known: bool = True


def render(
    compiled: CompiledProgram,
    costs: Sequence[Costs] = (),
    validations: Sequence[Validation | Benchmarks] = (),
) -> str:
    """One page of HTML that needs nothing else.

    `costs` has one for each workload; `validations`, benchmarks too, are of this model on this
    target. Raises OptionError for one of another.
    The same arguments give the same page, byte for byte.
    """
    program, summary = compiled.program, compiled.summary
    cost_views = [view_of(each) for each in costs]
    for each in validations:
        check_identity(compiled, each)
    accuracy = [accuracy_of(each) for each in validations if isinstance(each, Validation)]
    benchmarks = [table_of(each) for each in validations if isinstance(each, Benchmarks)]
    energy = cost_views[0].energy if cost_views and cost_views[0].energy else None
    error = next((view.errors for view in accuracy if view.errors), None)
    kinds = Kinds()
    figures = list(_figures(program, energy, error))
    table = list_matrices(compiled, kinds, figures)
    floor = floor_plan(compiled, kinds, energy, error)
    matrices = packed(table, kinds, figures)
    distributions = distributions_of(program, kinds)
    data = {"kinds": kinds.names(), "floor": floor.data, "matrices": matrices}
    return (
        html.environment()
        .get_template("page.html.j2")
        .render(
            summary=summary,
            facts=facts_of(compiled),
            cards=_cards(summary, cost_views, accuracy),
            costs=cost_views,
            accuracy=accuracy,
            accuracy_headings=HEADINGS,
            benchmarks=benchmarks,
            levers=[
                (
                    lever.change,
                    f"{lever.tiles:,}",
                    f"{lever.chips:,}",
                    percent(lever.macs_lost) if lever.macs_lost else "",
                    lever.needs,
                )
                for lever in compiled.levers
            ],
            kinds=table.kinds,
            listed=len(matrices["rows"]),
            all_matrices=len(table.rows),
            figures=figures,
            with_energy=energy is not None,
            with_error=error is not None,
            distributions=distributions,
            distribution_sizes=SIZES,
            percent=percent,
            floor_note=floor.note,
            digital=not_analog(program),
            operators=provenance.not_on_tiles(compiled),
            versions=provenance.versions(compiled),
            options=provenance.options(compiled),
            target_figures=provenance.figures(compiled),
            measured=provenance.measured(compiled),
            **html.shared(_SCRIPTS, data),
        )
    )


def _figures(
    program: Program, energy: Mapping[str, float] | None, error: Mapping[str, float] | None
) -> Iterator[Figure]:
    if energy is not None:
        yield Figure("energy", "nJ", energy)
    known = program.distributions
    if known is not None and known.tokens:
        found = {name: each.clipped for name, each in known.matrices.items()}
        clipped = {name: share for name, share in found.items() if share is not None}
        yield Figure("inputs clipped", "share", clipped)
    if error is not None:
        yield Figure("error of products", "share", error)


def _cards(s: Summary, costs: Sequence[CostView], accuracy: Sequence[AccuracyView]) -> list[Card]:
    limits = {limit.of: limit for limit in s.limits}
    if limits:
        left = ", ".join(
            f"{limits[of].left:,} of {limits[of].supply:,} {of}" for of in ("chips", "crossbars")
        )
        fits = Card("fits", "yes", f"left: {left}")
    else:
        fits = Card("fits", "yes", "the system sets no limit")
    proof = "no mapping needs fewer" if s.solver_status == "OPTIMAL" else "fewer may do"
    cards = [
        fits,
        Card("tiles", f"{s.tiles_used:,}", f"for {s.blocks:,} blocks, rule {s.rule}"),
        Card(
            "bound and gap",
            f"{100 * s.gap:.2f} %",
            f"at least {s.tiles_lower_bound:,} tiles: {s.solver_status}, {proof}",
        ),
        Card("chips", f"{s.chips_used:,}", f"cells used: {percent(s.utilization)} of tiles"),
        Card(
            "on tiles",
            percent(s.macs_analog_fraction),
            "of the multiply-accumulates of all matrices",
        ),
    ]
    if costs:
        cards += [
            Card("tokens a second", costs[0].speed, costs[0].title),
            Card("energy of a token", costs[0].joules, costs[0].title),
        ]
    else:
        cards.append(Card("speed and energy", "not estimated", "no costs were given", known=False))
    cards.insert(1, _accuracy(s, accuracy))  # in the first row, on a phone as well
    return cards


def _accuracy(s: Summary, accuracy: Sequence[AccuracyView]) -> Card:
    if not accuracy:
        note = "the weights were not read" if s.shapes_only else "afmc validate DIR --json"
        return Card("accuracy", "not validated", note, known=False)
    first = accuracy[0]
    note = f"{first.interval}; digital {first.digital}; {first.first}"
    return Card("perplexity", first.headline, note)
