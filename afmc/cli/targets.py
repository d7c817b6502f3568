"""afmc targets: what hardware there is, and what is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from afmc.cli import output
from afmc.errors import AfmcError, OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from afmc.targets import Target

SCHEMA_VERSION = 1
UNITS = ("ns", "nJ", "uS", "mm2", "W")

app = typer.Typer(no_args_is_help=True, help="Hardware descriptions.")

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the installed targets."""
    from afmc.targets import list_targets

    rows = [_summary(name) for name in list_targets()]
    if as_json:
        output.print_json({"schema_version": SCHEMA_VERSION, "targets": rows})
        return
    table = _table("target", "crossbar", "in, out", "devices", "chip", "title")
    for row in rows:
        if "error" in row:
            _add(table, row["name"], "", "", "", "", row["error"])
            continue
        _add(
            table,
            row["name"],
            f"{row['rows']} x {row['columns']}",
            f"{_bits(row['input_bits'])}, {_bits(row['output_bits'])}",
            _devices(row["noise"]),
            f"{row['tiles_per_chip']} tiles",
            row["title"],
        )
    output.show(table)


@app.command()
def show(
    target: Annotated[str, typer.Argument(help="A name from the list, or a .toml file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="target.KEY=VALUE", help="Replace a figure, repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every figure of a target with its source."""
    from rich.text import Text

    from afmc.targets import load_target

    loaded = load_target(target, _overrides(settings or []))
    if as_json:
        output.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "target": loaded.model_dump(mode="json"),
                "figures": _figures(loaded),
            }
        )
        return
    output.show(
        Text(
            f"{loaded.name}: {loaded.title}\n\n{loaded.description.strip()}\n\n"
            f"Converters: {_bits(loaded.input.bits)} in, {_bits(loaded.output.bits)} out. "
            f"Devices: {_devices(loaded.device.noise)}. "
            f"Chips: {loaded.system.chips or 'as many as the model needs'}.\n"
        )
    )
    output.show(_figure_table(loaded))


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="A name from the list, or a .toml file.")],
    as_json: Json = False,
) -> None:
    """Compile and simulate a toy model on a target; say what is wrong or suspicious."""
    from afmc.targets import load_target

    load_target(target)  # before anything that takes long
    from afmc.conformance import check_target

    findings = check_target(target)
    if as_json:
        rows = [{"kind": f.kind, "text": f.text} for f in findings]
        output.print_json({"schema_version": SCHEMA_VERSION, "findings": rows})
    else:
        table = _table("", target)
        for finding in findings:
            _add(table, finding.kind, finding.text)
        output.show(table)
    if any(finding.kind == "wrong" for finding in findings):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Write the JSON Schema of target files, for editors."""
    from afmc.targets import target_schema

    output.print_json(target_schema())


def _overrides(pairs: list[str]) -> dict[str, object]:
    """`["target.crossbar.rows=1152"]` to `{"crossbar.rows": 1152}`."""
    from afmc.cli.settings import parse_settings

    settings = parse_settings(pairs)
    for key in settings:
        if not key.startswith("target."):
            raise OptionError(f"--set {key}: write target.TABLE.KEY=VALUE; no pass runs here.")
    return {key.removeprefix("target."): value for key, value in settings.items()}


def _summary(name: str) -> dict[str, Any]:
    """The row of a target. One that does not load still has a row, so that it hides no other."""
    from afmc.targets import load_target

    try:
        target = load_target(name)
    except AfmcError as error:
        return {"name": name, "error": str(error)}
    return {
        "name": name,
        "title": target.title,
        "rows": target.crossbar.rows,
        "columns": target.crossbar.columns,
        "input_bits": target.input.bits,
        "output_bits": target.output.bits,
        "noise": target.device.noise,
        "tiles_per_chip": target.chip.tiles,
    }


def _figures(target: Target) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": value, "unit": _unit(key), **origin.model_dump(mode="json")}
        for key, value, origin in target.figures()
    ]


def _unit(key: str) -> str:
    """The end of a key: `ns` of `tile.read_latency_ns`."""
    _, _, end = key.rpartition("_")
    return end if end in UNITS else ""


def _bits(bits: int | None) -> str:
    return "perfect" if bits is None else f"{bits} bits"


def _devices(noise: str | None) -> str:
    return "perfect" if noise is None else noise.rpartition(":")[2]


def _figure_table(target: Target) -> Table:
    table = _table("figure", "value", "basis", "source")
    heading, above = "", None
    for figure in _figures(target):
        name, _, key = figure["key"].partition(".")
        if name != heading:
            _add(table, f"[{name}]")
            heading, above = name, None
        source = ". ".join(filter(None, (figure["source"], figure["note"])))
        value = f"{_plain(figure['value'])} {figure['unit']}"
        _add(table, f"  {key}", value, figure["basis"], '"' if source == above else source)
        above = source
    return table


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _table(*headings: str) -> Table:
    """A table that wraps its last column."""
    from rich.table import Table

    table = Table(*headings, box=None, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    table.columns[0].no_wrap = True
    return table


def _add(table: Table, *cells: str) -> None:
    """A row of plain text: what stands in brackets is no markup."""
    from rich.text import Text

    table.add_row(*map(Text, cells))
