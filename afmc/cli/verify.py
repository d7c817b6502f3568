"""``afmc verify``: a mapping checked independently of what made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from afmc.cli import complete, output, schemas
from afmc.cli.options import Folder, Json
from afmc.common.json_schema import (
    DIALECT,
    by_name,
    choice,
    record,
    several,
    text,
    truth,
    version,
)
from afmc.common.tables import Listing

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.verifier import Report


def verify(
    directory: Folder,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="T",
            help="Other hardware than what it was compiled for.",
            autocompletion=complete.targets,
        ),
    ] = None,
    schema: Annotated[bool, schemas.option("verify")] = False,
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


def json_schema() -> dict[str, Any]:
    """JSON Schema of what the command prints with --json."""
    from afmc.verifier.report import SCHEMA_VERSION, Outcome

    check = (
        text("name", "Of the check."),
        text("claim", "What is verified."),
        choice("outcome", "Skipped: there was nothing to look at.", get_args(Outcome)),
        by_name("counts", "How many of what were looked at.", {"type": "integer", "minimum": 0}),
        several("problems", "What is wrong; empty where it passed.", {"type": "string"}),
        several("notes", "What to know besides.", {"type": "string"}),
    )
    fields = (
        version(SCHEMA_VERSION),
        text("directory", "That was verified."),
        text("target", "Hardware that the mapping was held against."),
        several("target_differs", "Where it is not the program's own.", {"type": "string"}),
        truth("passed", "Whether no check failed."),
        several("checks", "In the order in which they ran.", check),
    )
    about = "What afmc verify prints with --json; the exit status is 1 if a check failed."
    return {"$schema": DIALECT, "title": "afmc verify", **record(fields, about)}


def render(report: Report) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rows = []
    for check in report.checks:
        counts = ", ".join(f"{what} {number:,}" for what, number in check.counts.items())
        rows.append((check.name, check.outcome, check.claim, counts))
    headings = ("check", "outcome", "what is verified", "looked at")
    table = Listing("", headings, rows, left=headings[2:], keys=headings[1:2])
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
