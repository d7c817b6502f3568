"""``afmc compare``: several compiles side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from afmc.cli import output, schemas
from afmc.cli.options import Batch, Context, Json, Phase


def compare(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote."),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.html", help="Write a page to look at it in a browser."
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[DIR=]FILE",
            help="What 'afmc validate DIR --json' or 'afmc eval DIR --json' printed, to compare "
            "accuracy: of the folder with that model and target, or of DIR. Repeat for more.",
        ),
    ] = None,
    context: Context = None,
    batch: Batch = "1",
    phase: Phase = "decode",
    schema: Annotated[bool, schemas.option("compare")] = False,
    json: Json = False,
) -> None:
    """Several compiles side by side: figures, costs, accuracy, and options and target figures that
    differ.

    They may be of different models, which is then said.
    """
    from afmc.cli.workloads import contexts_of, workloads
    from afmc.compare import compare, render
    from afmc.program.folder import read_program

    models = [read_program(each).program.model for each in directories]
    asked = workloads(context or contexts_of(models), batch, phase)
    replaced = False
    if file is not None:
        from afmc.report import check_page

        replaced = check_page(file)
    found = compare(directories, asked, validation or [])
    if file is not None:
        from afmc.report import comparison_page, write_page

        page = comparison_page(found)
        write_page(file, page)
    if json:
        output.print_json(found.to_json())
    elif file is not None:
        size = len(page.encode())
        print(f"written to {file} ({size:,} bytes){output.replacing(replaced)}")
    else:
        output.show(render(found))
