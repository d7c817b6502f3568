"""``afmc verify``: a mapping checked independently of what made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from afmc.cli import output
from afmc.cli.options import Folder, Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.verifier import Report


def verify(
    directory: Folder,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="T", help="Other hardware than what it was compiled for."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a mapping independently of what made it: every weight held once, no overlap, nothing
    outside of the hardware, and every figure that is claimed. Exit status 1 if a check fails.
    """
    from afmc.verifier import verify

    report = verify(directory, target)
    if json:
        output.print_json(report.to_json())
    else:
        output.show(render(report))
    if not report.passed:
        raise typer.Exit(1)


def render(report: Report) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("check", "", "what is verified", "looked at"):
        table.add_column(heading)
    for check in report.checks:
        counts = ", ".join(f"{what} {number:,}" for what, number in check.counts.items())
        style = {"passed": "", "failed": "bold red", "skipped": "dim"}[check.outcome]
        cells = (check.name, check.outcome, check.claim, counts)
        table.add_row(*map(Text, cells), style=style)
    return Group(table, *map(Text, _sentences(report)))


def _sentences(report: Report) -> Iterator[str]:
    for check in report.checks:
        for note in check.notes:
            yield f"{check.name}: {note}."
    for difference in report.differs:
        yield f"target: {difference}."
    for check in report.checks:
        for problem in check.problems:
            yield f"WRONG, {check.name}: {problem}"
    passed = sum(check.passed for check in report.checks)
    skipped = len(report.checks) - passed - len(report.failed)
    yield (
        f"{report.directory} on {report.target}: {len(report.checks)} checks, {passed} passed, "
        f"{len(report.failed)} failed, {skipped} skipped."
    )
