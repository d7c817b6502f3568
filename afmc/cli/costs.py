"""``afmc costs``: energy, latency and area of a token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from afmc.cli import output, schemas
from afmc.cli.options import Folder, Json


def costs(
    directory: Folder,
    context: Annotated[
        str | None,
        typer.Option(
            help="Tokens that a token attends to, or of a prompt: 512 or 512,2048; no more than "
            "the model has positions.  [default: 512, or as many as it has]"
        ),
    ] = None,
    batch: Annotated[str, typer.Option(help="Sequences at once: 1 or 1,32.")] = "1",
    phase: Annotated[
        str,
        typer.Option(help="decode: a token of each sequence. prefill: a prompt of each."),
    ] = "decode",
    against: Annotated[
        str, typer.Option(help="Digital hardware to compare with: h100, int8-dimc, or none.")
    ] = "h100,int8-dimc",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="target.KEY=V",
            help="Another figure of the target, for instance target.cache.bandwidth_GB_s=68.",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Write a token as a trace for Perfetto or chrome://tracing."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write a row for each part of each workload instead of tables; the ending is that "
            "of 'afmc export'.",
        ),
    ] = None,
    schema: Annotated[bool, schemas.option("costs")] = False,
    json: Json = False,
) -> None:
    """Energy, latency and area of a token, part by part, from the mapping that was made; every
    figure with its basis, and what nobody has published left out and named.
    """
    from afmc.cli import cost_tables
    from afmc.cli.settings import parse_overrides
    from afmc.cli.workloads import contexts_of, estimates
    from afmc.costs.workload import CONTEXTS
    from afmc.export import check_costs, costs_table, export
    from afmc.program.folder import read_program, with_figures

    replaced = file is not None and check_costs(file)
    traced = trace is not None and cost_tables.check_trace(trace)
    kept = read_program(directory)
    target = with_figures(kept.target, parse_overrides(settings or []))
    contexts = context or contexts_of([kept.program.model], [CONTEXTS[0]])
    results = estimates(kept.program, target, contexts, batch, phase, against)
    if trace is not None:
        cost_tables.write_trace(trace, [each for each, _ in results])
        print(f"trace written to {trace}{output.replacing(traced)}", file=sys.stderr)
    rows = 0 if file is None else export(costs_table(cost_tables.every(results)), file)
    if json:
        output.print_json(cost_tables.to_json(results))
        return
    if file is not None:
        size = file.stat().st_size
        print(f"{rows:,} parts written to {file} ({size:,} bytes){output.replacing(replaced)}")
        return
    for each, baselines in results:
        output.show(cost_tables.render(each, baselines))
