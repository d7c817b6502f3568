"""afmc targets: what hardware there is, and what is known about it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afmc.cli import complete, output, schemas
from afmc.cli.verbosity import with_verbosity
from afmc.common.tables import Listing
from afmc.errors import AfmcError, OptionError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.targets import Baseline, Target

SCHEMA_VERSION = 1

app = typer.Typer(no_args_is_help=True, help="Hardware descriptions.")

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")]


TargetName = Annotated[
    str,
    typer.Argument(help="A name from the list, or a .toml file.", autocompletion=complete.targets),
]


@app.command("list")
@with_verbosity
def list_(
    schema: Annotated[bool, schemas.option("targets list")] = False, as_json: Json = False
) -> None:
    """List the installed targets."""
    from afmc.targets import list_targets

    rows = [_summary(name) for name in list_targets()]
    if as_json:
        output.print_json({"schema_version": SCHEMA_VERSION, "targets": rows})
        return
    headings = ("target", "crossbar", "in, out", "devices", "chip", "title")
    cells = [(row["name"], *_cells(row), row.get("error") or row["title"]) for row in rows]
    output.show(Listing("", headings, cells, keys=headings[1:], below=("title",), names=True))


@app.command()
@with_verbosity
def show(
    target: TargetName,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="target.KEY=VALUE", help="Replace a figure, repeatable."),
    ] = None,
    schema: Annotated[bool, schemas.option("targets show")] = False,
    as_json: Json = False,
) -> None:
    """Show every figure of a target with its source."""
    from rich.text import Text

    from afmc.cli.settings import parse_overrides
    from afmc.targets import Target, load_description, load_target

    loaded = load_description(target)
    if settings and isinstance(loaded, Target):
        loaded = load_target(loaded, parse_overrides(settings))
    elif settings:
        raise OptionError(f"{loaded.name} is digital: its figures are not set, only compared with.")
    if as_json:
        output.print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "target": loaded.model_dump(mode="json", exclude_unset=True),
                "figures": _figures(loaded),
            }
        )
        return
    about = f"{loaded.name}: {loaded.title}\n\n{loaded.description.strip()}\n\n"
    if isinstance(loaded, Target):
        about += (
            f"Converters: {_bits(loaded.input.bits)} in, {_bits(loaded.output.bits)} out. "
            f"Devices: {_devices(loaded.device.noise)}. "
            f"Chips: {loaded.system.chips or 'as many as the model needs'}.\n"
        )
        about += "".join(
            f"--target {target}:{name}  {mode.title}\n" for name, mode in loaded.modes.items()
        )
    output.show(Text(about))
    output.show(_figure_table(loaded))


@app.command()
@with_verbosity
def check(
    target: TargetName,
    schema: Annotated[bool, schemas.option("targets check")] = False,
    as_json: Json = False,
) -> None:
    """Compile and simulate a toy model on a target; say what is wrong or suspicious."""
    from afmc.targets import load_description

    load_description(target)  # before anything that takes long
    from afmc.testing import check_target

    findings = check_target(target)
    if as_json:
        rows = [{"kind": f.kind, "text": f.text} for f in findings]
        output.print_json({"schema_version": SCHEMA_VERSION, "findings": rows})
    else:
        from rich.text import Text

        cells = [(finding.kind, finding.text) for finding in findings]
        output.show(Listing("", ("finding", target), cells, left=(target,)))
        wrong, suspicious = (
            sum(finding.kind == kind for finding in findings) for kind in ("wrong", "suspicious")
        )
        output.show(Text(f"\n{target}: {wrong or 'nothing'} wrong, {suspicious} suspicious"))
    if any(finding.kind == "wrong" for finding in findings):
        raise typer.Exit(1)


@app.command()
@with_verbosity
def new(
    file: Annotated[Path, typer.Argument(help="A new .toml file; its name is the target's.")],
) -> None:
    """Write a file to fill in: every figure of a target with what it means."""
    from afmc.targets.starter import write_starter

    write_starter(file)
    print(f"written to {file}; then: afmc targets check {file}")


@app.command()
@with_verbosity
def page(
    target: TargetName,
    file: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="[default: stdout]")
    ] = None,
) -> None:
    """Write the page of a target, in Markdown: figures, what follows from them, sources."""
    from afmc.common.files import Kind, begins, check_file, written
    from afmc.targets import Target, document, load_description

    found = load_description(target)
    if isinstance(found, Target) and found.mode is not None:
        whole = target.removesuffix(f":{found.mode}")
        raise OptionError(f"a page has all modes of a target: afmc targets page {whole}.")
    text = document.page(found)
    if file is None:
        sys.stdout.write(text)
        return
    kind = Kind("a target's page that afmc wrote", begins(b"# ", has=b"` by `afmc targets page`."))
    replaced = check_file(file, kind)
    with written(file, kind) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    print(f"written to {file}{output.replacing(replaced)}")


@app.command()
@with_verbosity
def devices(
    schema: Annotated[bool, schemas.option("targets devices")] = False, as_json: Json = False
) -> None:
    """List the installed device models (device.noise), and their options with default, unit and
    meaning."""
    from afmc.simulator.devices.base import list_devices

    rows = [_device(name, path) for name, path in sorted(list_devices().items())]
    if as_json:
        output.print_json({"schema_version": SCHEMA_VERSION, "devices": rows})
        return
    headings = ("device", "option", "default", "unit", "meaning")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        cells.append((row["name"], "", "", "", row.get("error") or row["about"]))
        for each in row.get("options", []):
            default = "required" if each["required"] else str(each["default"])
            cells.append(("", each["name"], default, each["unit"], each["meaning"]))
    meaning = headings[-1:]
    output.show(Listing("", headings, cells, left=meaning, keys=("option", "unit"), below=meaning))


@app.command()
@with_verbosity
def schema() -> None:
    """Write the JSON Schema of target files, for editors."""
    from afmc.targets import target_schema

    output.print_json(target_schema())


def _summary(name: str) -> dict[str, Any]:
    """The row of a target. One that does not load still has a row, so that it hides no other."""
    from afmc.targets import Target, load_description

    try:
        target = load_description(name)
    except AfmcError as error:
        return {"name": name, "error": str(error)}
    about = {"name": name, "kind": target.kind, "title": target.title}
    if not isinstance(target, Target):
        return about
    return {
        **about,
        "rows": target.crossbar.rows,
        "columns": target.crossbar.columns,
        "input_bits": target.input.bits,
        "output_bits": target.output.bits,
        "noise": target.device.noise,
        "tiles_per_chip": target.chip.tiles,
        "modes": list(target.modes),
    }


def _device(name: str, path: str) -> dict[str, Any]:
    """The row of a device model. One that does not load still has a row."""
    from afmc.simulator.devices.base import class_of

    row: dict[str, Any] = {"name": name, "class": path}
    try:
        found = class_of(name, "the entry point")
    except AfmcError as error:
        return {**row, "error": str(error)}
    return {**row, "about": _first_sentence(found), "options": _options(found)}


def _first_sentence(found: type[Any]) -> str:
    """First sentence of the docstring, unless it is the signature that dataclasses write there."""
    text = " ".join((found.__doc__ or "").split())
    if text.startswith(f"{found.__name__}("):
        return ""
    return re.split(r"(?<=\.) ", text, maxsplit=1)[0]


def _options(found: type[Any]) -> list[dict[str, Any]]:
    """Fields of a dataclass, with the sentence that follows each in its source."""
    from afmc.targets.units import unit_of

    if not dataclasses.is_dataclass(found):
        return []
    meanings = _meanings(found)
    rows: list[dict[str, Any]] = []
    for field in dataclasses.fields(found):
        if not field.init:
            continue
        missing = dataclasses.MISSING
        required = field.default is missing and field.default_factory is missing
        row = {"name": field.name, "required": required}
        if not required:
            row["default"] = _default(field.default)
        meaning = meanings.get(field.name, "")
        rows.append({**row, "unit": unit_of(field.name), "meaning": meaning})
    return rows


def _meanings(found: type[Any]) -> dict[str, str]:
    """The string literal behind each field of a class and of those that it derives from."""
    meanings: dict[str, str] = {}
    for kind in reversed(found.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        except (OSError, TypeError, SyntaxError):  # without a source, or of C
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in itertools.pairwise(statements):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                meanings[field.target.id] = " ".join(str(below.value.value).split())
    return meanings


def _default(value: object) -> object:
    """As JSON can have it."""
    return value if isinstance(value, int | float | str | None) else repr(value)


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Crossbar, converters, devices and chip."""
    if row.get("kind") != "analog":
        return row.get("kind", ""), "", "", ""
    return (
        f"{row['rows']} x {row['columns']}",
        f"{_bits(row['input_bits'])}, {_bits(row['output_bits'])}",
        _devices(row["noise"]),
        "1 tile" if row["tiles_per_chip"] == 1 else f"{row['tiles_per_chip']} tiles",
    )


def _figures(target: Target | Baseline) -> list[dict[str, Any]]:
    from afmc.targets.units import unit_of

    return [
        {"key": key, "value": value, "unit": unit_of(key), **origin.model_dump(mode="json")}
        for key, value, origin in target.figures()
    ]


def _bits(bits: int | None) -> str:
    return "perfect" if bits is None else f"{bits} bits"


def _devices(noise: str | None) -> str:
    return "perfect" if noise is None else noise.rpartition(":")[2]


def _figure_table(target: Target | Baseline) -> RenderableType:
    rows: list[tuple[str, ...]] = []
    heading, above = "", None
    for figure in _figures(target):
        name, _, key = figure["key"].partition(".")
        if name != heading:
            rows.append((f"[{name}]", "", "", ""))
            heading, above = name, None
        source = ". ".join(filter(None, (figure["source"], figure["note"])))
        value = f"{_plain(figure['value'])} {figure['unit']}"
        rows.append((f"  {key}", value, figure["basis"], '"' if source == above else source))
        above = source
    headings = ("figure", "value", "basis", "source")
    return Listing("", headings, rows, left=("value", "source"), keys=("basis",))


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
