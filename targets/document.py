"""A page of Markdown for each hardware description, made from its file alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from afmc.targets.loader import load_description
from afmc.targets.modes import in_mode
from afmc.targets.schema import Baseline, Mode, Target
from afmc.targets.tables import Device, Origin, Table, Value
from afmc.targets.units import unit_of

INDEX = "README.md"
Row = Sequence[str]
Figures = Iterable[tuple[str, Value, Origin]]

_TECHNOLOGIES = {
    "fefet": "ferroelectric transistors",
    "gaussian": "any",
    "pcm": "phase-change memory",
    "photonic": "light",
    "rram": "resistive memory",
    "sonos": "flash memory",
}
"""By the beginning of the device model's name."""

_BOUNDARY = """\
Of one tile at its peak, every row and column in use. A MAC is two operations. TOPS = 2 x MACs /
read latency, TOPS/W = 2 x MACs / read energy, TOPS/mm2 = TOPS / `tile.area_mm2`."""

_DIGITAL_BOUNDARY = """\
An operation is a multiplication or an addition, a MAC is two. These are peaks of the whole chip:
TOPS/W = `compute.int8_TOPS` / `die.power_W`, TOPS/mm2 = `compute.int8_TOPS` / `die.area_mm2`.
Below `compute.int8_TOPS` / `memory.bandwidth_GB_s` operations a byte, memory is what takes time."""

_BASES = """\
measured: on this hardware, by the source. published: a figure of its design or of a simulation.
derived: calculated from such figures, as the source explains. assumed: nobody's figure, or that of
something else."""

_INDEX = """\
# Hardware descriptions that come with afmc

One page each, made from its file by `afmc.targets.document`. Crossbars are in weights: rows are
inputs, columns are outputs. What is digital is a baseline of the cost model, to which nothing is
compiled."""


def write_pages(folder: Path) -> None:
    """Writes a page for each description that comes with afmc, and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """File name and text of every page, the index first."""
    described = [load_description(file) for file in sorted(Path(__file__).parent.glob("*.toml"))]
    return {INDEX: _index(described)} | {f"{each.name}.md": page(each) for each in described}


def page(target: Target | Baseline) -> str:
    """What a description says, with what each mode changes."""
    heading = f"# {target.name}\n\n{target.title}\n\n{target.description.strip()}"
    origin = f"Made from `{target.name}.toml` by `afmc targets page`."
    modes: dict[str, Target] = {}
    if isinstance(target, Target):
        for name in target.modes:
            modes[name] = Target.model_validate(in_mode(target, name, target.name))
        parts = [_summary(target, modes), _modes(target, modes)]
    else:
        parts = [_digital_summary(target)]
    parts += [_figures(target), _assumed(target, modes)]
    return "\n\n".join(filter(None, (heading, origin, *parts))) + "\n"


def _index(described: Iterable[Target | Baseline]) -> str:
    def rows() -> Iterator[Row]:
        for each in described:
            link = f"[{each.name}]({each.name}.md)"
            if isinstance(each, Baseline):
                yield link, "digital", "", "", "", each.title
                continue
            noise = each.device.noise
            yield (
                link,
                "none" if noise is None else _TECHNOLOGIES.get(noise.partition("-")[0], ""),
                _geometry(each),
                str(each.chip.tiles),
                "perfect" if noise is None else f"`{noise}`",
                each.title,
            )

    headings = ("name", "technology", "crossbar", "tiles a chip", "device model", "what it is")
    return f"{_INDEX}\n\n{_table(headings, rows())}\n"


def _geometry(target: Target) -> str:
    tiers = f" x {target.tile.tiers} tiers" if target.tile.tiers > 1 else ""
    return f"{target.crossbar.rows} x {target.crossbar.columns}{tiers}"


def _summary(target: Target, modes: Mapping[str, Target]) -> str:
    device, crossbar = target.device, target.crossbar
    weights = crossbar.rows * crossbar.columns * target.tile.tiers
    on_off = "without limit (the smallest state is 0)"
    if device.state_min:
        on_off = _short(device.state_max / device.state_min)
    driven = "" if crossbar.active_rows is None else f", {crossbar.active_rows} rows at a time"
    rows = [
        ("crossbar", f"{_geometry(target)} weights{driven}"),
        ("weights", f"{_count(weights)} a tile, {_count(weights * target.chip.tiles)} a chip"),
        ("tiles a chip", str(target.chip.tiles)),
        (
            "devices",
            f"{'perfect' if device.noise is None else f'`{device.noise}`'}, {device.encoding}, "
            f"{device.devices_per_polarity} a polarity",
        ),
        ("on/off ratio", on_off),
        ("converters", f"{_bits(target.input.bits)} in, {_bits(target.output.bits)} out"),
        ("MACs a read", _count(crossbar.rows * crossbar.columns)),
    ]
    return f"## In short\n\n{_table(('', ''), rows)}\n\n{_costs(target, modes)}"


def _costs(target: Target, modes: Mapping[str, Target]) -> str:
    tile = target.tile
    if (tile.read_latency_ns, tile.read_energy_nJ, tile.area_mm2) == (None, None, None):
        return "No latency, energy or area is known."
    uses = {"as in the file": target} | {f"`{name}`": each for name, each in modes.items()}
    columns = ("", "latency", "energy", "a MAC", "TOPS", "TOPS, all tiles", "TOPS/W", "TOPS/mm2")
    table = _table(columns, (_cost(name, each) for name, each in uses.items()))
    parts = ["### A read", table, _BOUNDARY]
    if tile.read_energy_nJ is not None:
        parts.append(f"The energy: {_from(target.origin_of('tile.read_energy_nJ'))[1]}")
    return "\n\n".join(parts)


def _cost(name: str, target: Target) -> Row:
    """Latency and energy of a read, and what follows from them; empty where it is not known."""
    macs = target.crossbar.rows * target.crossbar.columns
    latency, energy = target.tile.read_latency_ns, target.tile.read_energy_nJ
    tops = None if latency is None else 2 * macs / latency / 1e3
    area = target.tile.area_mm2
    return (
        name,
        _known(latency, "ns"),
        _known(energy, "nJ"),
        _known(None if energy is None else 1e6 * energy / macs, "fJ"),
        _known(tops),
        _known(None if tops is None else tops * target.chip.tiles),
        _known(None if energy is None else 2 * macs / energy / 1e3),
        _known(None if tops is None or area is None else tops / area),
    )


def _digital_summary(baseline: Baseline) -> str:
    tops, die = baseline.compute.int8_TOPS, baseline.die
    bandwidth = None if baseline.memory is None else baseline.memory.bandwidth_GB_s

    def ratio(of: float | None, to: float | None, factor: float = 1.0) -> float | None:
        return None if of is None or to is None else factor * of / to

    rows = [
        ("8-bit integers", _known(tops, "TOPS")),
        ("efficiency", _known(ratio(tops, die.power_W), "TOPS/W")),
        ("density", _known(ratio(tops, die.area_mm2), "TOPS/mm2")),
        ("operations a byte", _known(ratio(tops, bandwidth, 1e3))),
    ]
    return f"## In short\n\n{_table(('', ''), rows)}\n\n{_DIGITAL_BOUNDARY}"


def _modes(target: Target, modes: Mapping[str, Target]) -> str:
    if not modes:
        return ""
    before = {key: value for key, value, _ in target.figures()}
    parts = [f"## Modes\n\nOther ways to use the same hardware: `--target {target.name}:MODE`."]
    for name, changed in modes.items():
        mode = target.modes[name]
        rows = [
            (f"`{key}`", _value(key, before.get(key)), _value(key, value), *_from(origin))
            for key, value, origin in _replaced(changed, mode)
        ]
        rows += [
            (f"`{key}`", _value(key, before.get(key)), "not known", *_from(origin))
            for key, origin in _omitted(mode)
        ]
        table = _table(("figure", "in the file", "in this mode", "basis", "source"), rows)
        parts.append(f"### {name}\n\n{mode.title}.\n\n{table}")
    return "\n\n".join(parts)


def _replaced(target: Target, mode: Mode) -> Iterator[tuple[str, Value, Origin]]:
    """The figures of a target in a mode that the mode gives."""
    given = {f"{name}.{key}" for name, table in mode.tables() for key in table}
    for key, value, origin in target.figures():
        if ".".join(key.split(".")[:2]) in given:
            yield key, value, origin


def _omitted(mode: Mode) -> Iterator[tuple[str, Origin]]:
    for name, table in mode.tables():
        for key in table.get("omit", []):
            yield f"{name}.{key}", Origin(source=table["source"], basis=table["basis"])


def _figures(target: Target | Baseline) -> str:
    rows = [
        (f"`{key}`", _value(key, value), *_from(origin)) for key, value, origin in _given(target)
    ]
    parts = [
        f"## All figures\n\n{_table(('figure', 'value', 'basis', 'source'), rows)}\n\n{_BASES}"
    ]
    unknown, default = _not_given(target)
    if unknown:
        parts.append(f"Not in the file: {', '.join(unknown)}.")
    if default:
        parts.append(f"Not in the file, hence as the format has it: {', '.join(default)}.")
    return "\n\n".join(parts)


def _tables(target: Target | Baseline) -> Iterator[tuple[str, Table]]:
    for name in target.tables():
        table: Table | None = getattr(target, name)
        if table is not None:
            yield name, table


def _given(target: Target | Baseline) -> Iterator[tuple[str, Value, Origin]]:
    """The figures that the file gives. Those at a default are nobody's statement."""
    given = {f"{name}.{key}" for name, table in _tables(target) for key in table.model_fields_set}
    for key, value, origin in target.figures():
        if ".".join(key.split(".")[:2]) in given:
            yield key, value, origin


def _not_given(target: Target | Baseline) -> tuple[list[str], list[str]]:
    """Figures that are not there, and those at a default with their value."""
    unknown, default = [], []
    for name, table in _tables(target):
        for key in table.keys():
            value = getattr(table, key)
            if key in table.model_fields_set or value == {} or _other_range(table, key):
                continue
            if value is None:
                unknown.append(f"`{name}.{key}`")
            else:
                default.append(f"`{name}.{key}` = {_value(key, value)}")
    return unknown, default


def _other_range(table: Table, key: str) -> bool:
    """Whether that is a transmission of what conducts, or a conductance of what transmits."""
    absent = "transmission" if "g_max_uS" in table.model_fields_set else "g_m"
    return isinstance(table, Device) and key.startswith(absent)


def _assumed(target: Target | Baseline, modes: Mapping[str, Target]) -> str:
    rows = [
        (f"`{key}`", _value(key, value), _from(origin)[1])
        for key, value, origin in _only(_given(target))
    ]
    for name, changed in modes.items():
        rows += [
            (f"`{key}`, mode `{name}`", _value(key, value), _from(origin)[1])
            for key, value, origin in _only(_replaced(changed, changed.modes[name]))
        ]
    listed = _table(("figure", "value", "why"), rows) if rows else "Nothing."
    return f"## What is assumed\n\n{listed}"


def _only(figures: Figures) -> Figures:
    return (each for each in figures if each[2].basis == "assumed")


def _from(origin: Origin) -> tuple[str, str]:
    """Basis, and source with its note."""
    return origin.basis, " ".join(
        text if text.endswith(".") else f"{text}." for text in (origin.source, origin.note) if text
    )


def _table(headings: Row, rows: Iterable[Row]) -> str:
    def line(cells: Row) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(map(line, (headings, ["---"] * len(headings), *rows)))


def _value(key: str, value: Any) -> str:
    """As in a TOML file, with its unit."""
    match value:
        case None:
            return "not given"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.10g} {unit_of(key)}".strip()
        case _:
            return f"{value} {unit_of(key)}".strip()


def _known(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{_short(value)} {unit}".strip()


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if value < 1000 else _count(round(value))


def _count(number: int) -> str:
    """Exactly below a million."""
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,}"


def _bits(bits: int | None) -> str:
    return "perfect" if bits is None else f"{bits} bits"
