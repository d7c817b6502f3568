"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON only; logs go to stderr.")]
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--text",
        metavar="FILE",
        help="UTF-8 text. Without it, half of the help topics of Python's standard library; for "
        "the demo models, text of their own.",
    ),
]
DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE.npz",
        help="Samples for a model that is no language model: an array 'inputs', or one for each "
        "input by its name; the first dimension counts samples. To calibrate input ranges, or with "
        "'labels' to measure accuracy.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace what afmc wrote there of another model or for another target, too. Files "
        "that afmc did not write stay.",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that came with a hub model.")
]
Lines = Annotated[int, typer.Option(min=1, metavar="N", help="Lines of a table at most.")]
Context = Annotated[
    str | None,
    typer.Option(
        help="Tokens that the costs are for, as in 'afmc costs'.  [default: 512,2048, as far as "
        "the model has positions]"
    ),
]
Batch = Annotated[str, typer.Option(help="Sequences at once, as in 'afmc costs'.")]
Phase = Annotated[str, typer.Option(help="decode or prefill, as in 'afmc costs'.")]
Instances = Annotated[int, typer.Option(min=1, help="Manufactured chips to draw.")]
Times = Annotated[
    str | None,
    typer.Option("--at", help="Times since programming: 0s (the default), or 1s,1h,1d,30d,1y."),
]
Temperatures = Annotated[
    str | None,
    typer.Option("--temperature", help="Temperatures: 25C (the default), or 25C,85C."),
]
Compensations = Annotated[
    str | None,
    typer.Option(
        "--compensation",
        help="Digital corrections of drift and temperature, the target's own by default: none, "
        "tile (a factor for each block), column, reference (from a reference column).",
    ),
]
Recalibrate = Annotated[
    bool,
    typer.Option(
        "--recalibrate",
        help="Also with the corrections of -O1 and -O2 measured again at every time and "
        "temperature.",
    ),
]
Figures = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="target.KEY=V",
        help="A figure of the target for this measurement alone (target.device.noise=none).",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Decides all device noise.")]


def listed(text: str | None) -> list[str]:
    """``1s,1h`` as two."""
    return [each.strip() for each in text.split(",")] if text is not None else []
