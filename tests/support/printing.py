"""Programs and tables as text, to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from rich.console import Console, RenderableType

from afmc.program.program import Program


def lines(program: Program) -> Iterator[str]:
    for matrix in program.matrices:
        reason = (program.digital or {}).get(matrix.name)
        side = f"digital: {reason}" if reason else "analog"
        yield f"matrix {matrix.name} {matrix.rows} x {matrix.cols} reads {matrix.input}: {side}"
    for index, group in enumerate(program.groups):
        yield f"group {index} {group.name} {group.rows} x {group.cols}"
    proof = program.allocation
    assert proof is not None
    bounds = ", ".join(f"{name} {value}" for name, value in proof.bounds.items())
    yield f"{proof.rule}: {proof.tiles} tiles, {proof.status}, bounds: {bounds}"
    for place in program.placements:
        block = program.blocks[place["block"]]
        first_row, first_col = block["row"], block["col"]
        yield (
            f"group {block['group']} "
            f"[{first_row}:{first_row + block['rows']}, {first_col}:{first_col + block['cols']}]"
            f" -> chip {place['chip']} tile {place['tile']} tier {place['tier']}"
            f" at {place['row']}, {place['col']}"
        )


def printed(program: Program) -> str:
    return "\n".join(lines(program))


def shown(renderable: RenderableType, width: int = 80) -> str:
    """What a terminal of so many columns shows, without spaces at the ends of lines."""
    console = Console(width=width, file=StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(renderable, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
