"""``afmc report``: one page about a compile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from afmc.cli import output
from afmc.cli.options import Batch, Context, Folder, Phase


def report(
    directory: Folder,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.html", help="[default: DIR/report.html]"),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What 'afmc validate DIR --json' or 'afmc eval DIR --json' printed, to show "
            "accuracy. Repeat for more.",
        ),
    ] = None,
    context: Context = None,
    batch: Batch = "1",
    phase: Phase = "decode",
) -> None:
    """One self-contained HTML page: floor plan, matrices, costs, accuracy, provenance."""
    from afmc.cli.workloads import contexts_of, estimates
    from afmc.evaluation.reading import read_results
    from afmc.program.folder import read_program
    from afmc.report import check_page, render, write_page

    kept = read_program(directory)
    file = file or directory / "report.html"
    replaced = check_page(file)
    validations = [read_results(path, kept) for path in validation or []]
    contexts = context or contexts_of([kept.program.model])
    estimated = estimates(kept.program, kept.target, contexts, batch, phase, "none")
    page = render(kept, [each for each, _ in estimated], validations)
    write_page(file, page)
    print(f"written to {file} ({len(page.encode()):,} bytes){output.replacing(replaced)}")
