"""``afmc doctor``: what is installed, what is missing, what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from afmc.cli import output, schemas
from afmc.cli.options import Json


def doctor(schema: Annotated[bool, schemas.option("doctor")] = False, json: Json = False) -> None:
    """Versions, what is missing or was never tested, and what to install."""
    from afmc.cli.diagnosis import diagnose, render

    found = diagnose()
    if json:
        output.print_json(found)
    else:
        output.show(render(found))
    if any(each["required"] for each in found["missing"]):
        raise typer.Exit(1)
