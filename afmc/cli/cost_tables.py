"""Costs as tables and data: what a token takes, part by part, beside digital hardware."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afmc.cli.workloads import Result
from afmc.common.files import Kind, begins, check_file, written
from afmc.common.json_schema import document
from afmc.common.numbers import UNKNOWN, nanojoules, nanoseconds
from afmc.common.tables import Listing
from afmc.costs import BaselineCosts, Costs, trace
from afmc.costs.estimate import ATTENTION_UNITS, BESIDE, MEMORY, ON_CHIP
from afmc.costs.parts import SCHEMA_VERSION
from afmc.costs.schedule import Schedule
from afmc.costs.schema import costs_schema, trace_schema
from afmc.errors import OptionError
from afmc.export import costs_table_schema

if TYPE_CHECKING:
    from rich.console import RenderableType


TRACE = Kind(
    "a trace that afmc wrote", begins(b'{"displayTimeUnit": "ns", "otherData": {"schema_version": ')
)


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "costs": [each.to_json() for each, _ in results],
        "baselines": [other.to_json() for _, others in results for other in others],
    }


def every(results: Sequence[Result]) -> list[Costs | BaselineCosts]:
    """Each workload, and after it the digital hardware under it."""
    found: list[Costs | BaselineCosts] = []
    for costs, others in results:
        found += [costs, *others]
    return found


def json_schema() -> dict[str, Any]:
    """JSON Schema of what the command prints and writes."""
    table = costs_table_schema()
    return document(
        "afmc costs",
        "What afmc costs prints with --json, writes to -o FILE (all rows of a .json file; a row is "
        "a line of a .jsonl file, and has the columns of .csv and .parquet files), and writes with "
        "--trace.",
        {
            "costs": costs_schema(),
            "table": {"type": "array", "items": table["items"]},
            "part": table["$defs"]["part"],
            "trace": trace_schema(),
        },
    )


def check_trace(file: Path) -> bool:
    """Whether a trace is there already. Raises OptionError for a file that cannot be written."""
    if file.suffix != ".json":
        raise OptionError(f"--trace {file}: the file must end in .json.")
    return check_file(file, TRACE, "--trace")


def write_trace(file: Path, costs: Sequence[Costs]) -> None:
    """Raises OptionError for several workloads, and for a file that cannot be written."""
    if len(costs) != 1:
        raise OptionError(f"--trace is of one workload, but these are {len(costs)}.")
    check_trace(file)
    with written(file, TRACE, "--trace") as unfinished:
        unfinished.write_text(json.dumps(trace(costs[0]), allow_nan=False), encoding="utf-8")


def render(costs: Costs, baselines: Sequence[BaselineCosts]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [*summary(costs), *(f"Left out: {each}." for each in costs.missing)]
    shown: list[RenderableType] = [_parts(costs), *map(Text, lines)]
    if baselines:
        shown += [_compared(costs, baselines), *map(Text, _boundaries(costs, baselines))]
    return Group(*shown)


def _parts(costs: Costs) -> RenderableType:
    total = costs.energy_nJ
    rows = []
    for part in costs.parts:
        known = part.energy_nJ is not None
        if not part.count and not part.latency_ns:
            continue
        rows.append(
            (
                part.name,
                f"{part.count:,.0f} {part.unit}",
                nanojoules(part.energy_nJ),
                f"{100 * (part.energy_nJ or 0) / total:.1f} %" if known and total else "",
                "" if part.latency_ns is None else nanoseconds(part.latency_ns),
                "" if part.figure is None else f"{part.figure.key} = {part.figure.value:g}",
                "" if part.figure is None else part.figure.basis,
            )
        )
    time = nanoseconds(costs.schedule.latency_ns)
    rows.append(("sum", "", nanojoules(total), "100.0 %", time, "", ""))
    return Listing(
        f"{costs.a_unit} on {costs.target}: {costs.workload.described(costs.unit)}",
        ("part", "events", "energy", "share", "critical time", "from", "basis"),
        rows,
        keys=("from", "basis"),
        below=("from", "basis"),
        names=True,
    )


def summary(costs: Costs) -> list[str]:
    """Sentences under the table: energy, time, efficiency and area."""
    plan = costs.schedule
    busy = f"{plan.bottleneck} being busy all the time{_with(plan)}"
    area = UNKNOWN if costs.area_mm2 is None else f"{costs.area_mm2:,.0f} mm²"
    rates = costs.efficiency
    peaks = [
        f"{value:.3g} TOPS/W {what}"
        for value, what in (
            (rates.tile_peak_TOPS_W, "at the peak of a tile"),
            (rates.tiles_TOPS_W, f"in the products of {costs.a_unit}"),
            (rates.system_TOPS_W, "with everything above"),
        )
        if value is not None
    ]
    return [
        _energy(costs),
        f"{costs.tokens_per_s:,.0f} {costs.unit}s a second; {costs.a_unit} takes "
        f"{nanoseconds(plan.latency_ns)}, in a stream one every {nanoseconds(plan.interval_ns)}, "
        f"{busy}.",
        f"Efficiency: {', '.join(peaks)}. Area: {area}.",
    ]


def _energy(costs: Costs) -> str:
    """The sum, with what of it is assumed, and without a memory that makes most of it."""
    total, cache = costs.energy_nJ, costs.cache
    text = f"{nanojoules(total)} {costs.a_unit}"
    if total:
        text += f", of which {100 * costs.assumed_nJ / total:.0f} % rest on assumed figures"
    if cache is None or cache.basis != "assumed" or costs.cache_nJ <= total / 2:
        return f"{text}."
    rest, assumed = total - costs.cache_nJ, costs.assumed_nJ - costs.cache_nJ
    share = f", {100 * assumed / rest:.0f} % of that on assumed figures" if rest else ""
    return (
        f"{text}: {100 * costs.cache_nJ / total:.0f} % are keys and values in a memory that is "
        f"assumed ({cache.key} = {cache.value:g}). Without them it is {nanojoules(rest)}{share}."
    )


def _with(plan: Schedule) -> str:
    """Whose time it is, of a resource that digital matrices and attention share."""
    held = plan.busy[0]
    shared = {
        MEMORY[BESIDE]: ("weights of digital matrices", "keys and values"),
        MEMORY[ON_CHIP]: ("weights of digital matrices", "keys and values"),
        ATTENTION_UNITS: ("digital matrices", "attention"),
    }
    if held.name not in shared or not held.ns:
        return ""
    share = held.matrices_ns / held.ns
    weights, others = shared[held.name]
    if share in (0, 1):
        return f" ({weights if share else others})"
    return f" ({100 * share:.1f} % {weights}, {100 * (1 - share):.1f} % {others})"


def _compared(costs: Costs, baselines: Sequence[BaselineCosts]) -> RenderableType:
    every: list[Costs | BaselineCosts] = [costs, *baselines]
    rows = [
        (
            each.target,
            nanojoules(each.energy_nJ),
            f"{each.energy_nJ / costs.energy_nJ if costs.energy_nJ else 0.0:,.3g}",
            nanoseconds(each.latency_ns),
            f"{each.tokens_per_s:,.1f}",
        )
        for each in every
    ]
    headings = (f"energy of {costs.a_unit}", "of ours", "time of a step", f"{costs.unit}s a second")
    return Listing("", ("the same workload", *headings), rows, names=True)


def _boundaries(costs: Costs, baselines: Sequence[BaselineCosts]) -> list[str]:
    ours = "; ".join(costs.missing) or "nothing that is known"
    return [
        f"Not like for like. {costs.target}: programming, the host and sampling are left out; "
        f"{ours}.",
        *(f"{each.target}: {each.boundary}" for each in baselines),
    ]
