"""``afmc inspect``: what went where and why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afmc.cli import output, schemas
from afmc.cli.options import Folder, Json, Lines
from afmc.errors import OptionError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import CompiledProgram

    ToJson = Callable[[CompiledProgram, str], dict[str, Any]]
    Render = Callable[[CompiledProgram, str, int], RenderableType]


def inspect(
    directory: Folder,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where these matrices are, and what shares their tiles: a module's path or its "
            "last part, a matrix, or a pattern with *, ? and [0-9] ('model.layers.0', q_proj, "
            "'model.layers.*.mlp.*').",
        ),
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="CHIP/TILE[/TIER]",
            help="What is on a tile: blocks, defects, the order of lines, and a picture.",
        ),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Why these matrices are analog or digital, merged, cut and placed as they are.",
        ),
    ] = None,
    lines: Lines = 20,
    schema: Annotated[bool, schemas.option("inspect")] = False,
    json: Json = False,
) -> None:
    """What went where and why not: coverage, tiles, bound, gap, levers.

    With --layer, --tile or --why a closer look at one part of the mapping.
    """
    from afmc import inspect
    from afmc.program.folder import read_program

    views: tuple[tuple[str | None, ToJson, Render], ...] = (
        (layer, inspect.layer_json, inspect.render_layer),
        (tile, inspect.tile_json, inspect.render_tile),
        (why, inspect.why_json, inspect.render_why),
    )
    asked = [view for view in views if view[0] is not None]
    if len(asked) > 1:
        raise OptionError("--layer, --tile and --why are three questions: ask one at a time.")
    kept = read_program(directory)
    if not asked:
        if json:
            output.print_json(inspect.inspect_json(kept))
        else:
            output.show(inspect.render(kept))
    for name, to_json, render in asked:
        assert name is not None
        if json:
            output.print_json(to_json(kept, name))
        else:
            output.show(render(kept, name, lines))
