"""Hardware descriptions: analog targets, which a model is compiled to, and digital baselines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from afmc.targets.tables import (
    Basis,
    Cache,
    Chip,
    Compute,
    Crossbar,
    Device,
    Die,
    Digital,
    Input,
    Links,
    Memory,
    Optics,
    Origin,
    Output,
    Overhead,
    Scalar,
    Strict,
    System,
    Table,
    Text,
    Tile,
    Value,
    Whole,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SET_BY_USER = Origin(source="set by the user", basis="assumed")


class Change(Strict):
    """What a mode replaces in a table: its figures, which are checked with those of the table."""

    model_config = ConfigDict(extra="allow")

    source: Text
    """Where the figures that are replaced come from."""
    basis: Basis
    """What the source is worth. It holds for every figure that `origin` does not list."""
    note: Text | None = None
    """What a reader should know before relying on them."""
    origin: dict[str, Origin] = Field(default_factory=dict)
    """Figures that come from elsewhere, by key."""
    omit: list[str] = Field(default_factory=list)
    """Figures of the table that do not hold in this mode."""


class Mode(Strict):
    """Another way to use the same hardware: figures that it replaces, by table."""

    title: Text
    """One line on what is different."""
    crossbar: Change | None = None
    """Figures of [crossbar]."""
    input: Change | None = None
    """Figures of [input]."""
    output: Change | None = None
    """Figures of [output]."""
    device: Change | None = None
    """Figures of [device]."""
    optics: Change | None = None
    """Figures of [optics]."""
    tile: Change | None = None
    """Figures of [tile]."""
    chip: Change | None = None
    """Figures of [chip]."""
    links: Change | None = None
    """Figures of [links]."""
    digital: Change | None = None
    """Figures of [digital]."""
    cache: Change | None = None
    """Figures of [cache]."""
    system: Change | None = None
    """Figures of [system]."""

    def tables(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables of which this mode replaces figures, as the file has them."""
        for name in type(self).model_fields:
            if isinstance(change := getattr(self, name), Change):
                yield name, change.model_dump(exclude_unset=True)


class Description(Strict):
    """What every hardware description has."""

    schema_version: Annotated[Literal[1], Whole]
    """Version of this format: 1."""
    name: Name
    """Letters, digits, dots, dashes and underscores; the name of the file without `.toml` when the
    description comes with a package."""
    title: Text
    """One line for `afmc targets list`."""
    description: Text
    """What the hardware is, and what the description leaves out."""
    overrides: Mapping[str, Scalar | None] = Field(default_factory=dict)
    """Figures that the user set (`--set target.KEY=VALUE`), by dotted key. Not for files."""

    @classmethod
    def tables(cls) -> dict[str, type[Table]]:
        """The tables of a description by name, in order."""
        kinds = {name: _table_of(field.annotation) for name, field in cls.model_fields.items()}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The dotted keys of all figures, set or not, in order."""
        tables = cls.tables().items()
        return tuple(f"{name}.{key}" for name, table in tables for key in table.keys())

    def to_data(self) -> dict[str, Any]:
        """What the file says, and `origin` for every table: to change it, and to check it anew."""
        data = self.model_dump(exclude_unset=True)
        for name in self.tables():
            if data.get(name) is not None:
                data[name].setdefault("origin", {})
        return data

    def origin_of(self, key: str) -> Origin:
        """Where a figure comes from, by dotted key (`tile.read_latency_ns`)."""
        name, figure = (*key.split("."), "")[:2]
        table: Table | None = getattr(self, name, None)
        if f"{name}.{figure}" not in self.keys() or table is None:
            raise KeyError(key)
        return SET_BY_USER if key in self.overrides else table.origin_of(figure)

    def figures(self) -> list[tuple[str, Value, Origin]]:
        """Every figure that is set: dotted key, value, and where it comes from."""
        return [
            (f"{name}.{key}", value, self.origin_of(f"{name}.{key}"))
            for name in self.tables()
            if (table := getattr(self, name)) is not None
            for key, value in table.figures()
        ]


def _table_of(annotation: Any) -> type[Table] | None:
    """The table of a field, which may be optional."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Table):
            return kind
    return None


class Target(Description):
    """Analog hardware, to which a model is compiled."""

    kind: Literal["analog"] = "analog"
    """analog: tiles that a model is compiled to. digital: a baseline of the cost model."""
    crossbar: Crossbar
    input: Input
    output: Output
    device: Device
    optics: Optics | None = None
    tile: Tile
    chip: Chip
    links: Links | None = None
    digital: Digital | None = None
    cache: Cache | None = None
    system: System
    modes: dict[Name, Mode] = Field(default_factory=dict)
    """Other ways to use the hardware, by name: `--target NAME:MODE`."""
    mode: str | None = None
    """The one that these figures are of. Not for files."""

    @model_validator(mode="after")
    def _phases_need_polarities(self) -> Self:
        if self.tile.read_phases == 4 and self.device.encoding != "differential":
            raise PydanticCustomError(
                "figure",
                "is 4, but only differential devices have polarities to read apart.",
                {"key": "tile.read_phases"},
            )
        return self

    @model_validator(mode="after")
    def _optics_are_of_light(self) -> Self:
        if self.optics is not None and self.device.transmission_max is None:
            raise PydanticCustomError(
                "figure",
                "is given, but the devices hold a conductance (device.g_max_uS).",
                {"key": "optics"},
            )
        if self.device.transmission_max is None:
            return self
        for key in ("wire_row_ohm", "wire_column_ohm", "read_voltage_V"):
            if getattr(self.crossbar, key):
                raise PydanticCustomError(
                    "figure", "is given, but light has none.", {"key": f"crossbar.{key}"}
                )
        return self

    @model_validator(mode="after")
    def _columns_are_of_tiles(self) -> Self:
        if self.links is not None and (self.links.columns or 0) > self.chip.tiles:
            raise PydanticCustomError(
                "figure",
                "is {columns}, but a chip has {tiles} tiles.",
                {
                    "key": "links.columns",
                    "columns": self.links.columns,
                    "tiles": self.chip.tiles,
                },
            )
        return self

    @model_validator(mode="after")
    def _crossbars_can_be_counted(self) -> Self:
        if self.chip.tiles * self.tile.tiers > 2**31 - 1:
            raise PydanticCustomError(
                "figure",
                "times chip.tiles, {tiles}, is more than {most} crossbars a chip.",
                {"key": "tile.tiers", "tiles": self.chip.tiles, "most": 2**31 - 1},
            )
        return self

    @model_validator(mode="after")
    def _a_read_is_long_enough(self) -> Self:
        read = self.tile.read_latency_ns
        for key, one_ns, turns in self._turns_of_a_read():
            needs = one_ns * math.prod(turns.values())
            if read is not None and needs > read * (1 + 1e-9):
                product = " x ".join(f"{n} {what}" for what, n in turns.items() if n > 1)
                take = f": {product} take {needs:g} ns, one after the other" if product else ""
                raise PydanticCustomError(
                    "figure",
                    "is {one}{take}, but a read (tile.read_latency_ns) takes {read}.",
                    {"key": key, "one": f"{one_ns:g}", "take": take, "read": f"{read:g}"},
                )
        return self

    @property
    def turns_of_a_read(self) -> dict[str, int]:
        """How often rows are driven and columns converted in a read, by what it is for."""
        rows, active = self.crossbar.rows, self.crossbar.active_rows
        bits, serial = self.input.bits, self.input.encoding == "bit_serial"
        return {
            "groups of rows": -(-rows // active) if active else 1,
            "phases": self.tile.read_phases,
            "digits": -(-(bits - 1) // self.input.slice_bits) if serial and bits else 1,
        }

    def _turns_of_a_read(self) -> Iterator[tuple[str, float, dict[str, int]]]:
        """Figures that are times, and how many times each passes in a read: it is no shorter."""
        turns = self.turns_of_a_read
        if self.output.conversion_ns is not None:
            columns = min(self.output.columns_per_converter, self.crossbar.columns)
            yield "output.conversion_ns", self.output.conversion_ns, {"columns": columns, **turns}
        if self.output.integration_ns is not None:
            yield "output.integration_ns", self.output.integration_ns, turns
        if self.input.encoding == "pulse_width" and self.input.step_ns and self.input.steps:
            yield "input.step_ns", self.input.step_ns, {"steps": self.input.steps // 2, **turns}

    @property
    def time_of_a_read_ns(self) -> float:
        """Integration and conversions of a read, one after the other, as far as they are given."""
        return sum(
            one_ns * math.prod(turns.values())
            for key, one_ns, turns in self._turns_of_a_read()
            if key.startswith("output.")
        )

    @property
    def longest_pulse_ns(self) -> float | None:
        """Pulse of an input at full scale; None where inputs are not widths of pulses."""
        if self.input.encoding != "pulse_width" or not (self.input.step_ns and self.input.steps):
            return None
        return self.input.step_ns * (self.input.steps // 2)

    @property
    def needs_input_range(self) -> bool:
        """Whether a product depends on what input is full scale."""
        converts = self.input.bits is not None or self.output.bits is not None
        return converts or self.reads_noise

    @property
    def reads_noise(self) -> bool:
        """Whether thermal and shot noise of a read follow from the figures."""
        electrical = self.crossbar.read_voltage_V is not None and self.output.integration_ns
        return self.optics is not None or bool(electrical)

    @property
    def is_random_at_reads(self) -> bool:
        """Whether two reads of one instance may differ."""
        devices = self.device.noise is not None and self.device.read_noise == "each"
        return self.reads_noise or self.output.noise_steps > 0 or devices

    @property
    def is_random(self) -> bool:
        """Whether two instances, or two reads of one, differ."""
        keys = [f"{table}.{key}" for table, keys in IMPERFECTIONS.items() for key in keys]
        return self.reads_noise or any(
            getattr(getattr(self, table), key)
            for table, key in (each.split(".") for each in keys)
            if table != "crossbar"
        )

    @property
    def is_perfect(self) -> bool:
        """Whether nothing is imperfect but the bits of converters, as `without_noise` leaves it."""
        wires = self.crossbar.wire_row_ohm or self.crossbar.wire_column_ohm
        return not (self.is_random or wires)

    def without_noise(self) -> Target:
        """This hardware with perfect devices, wires and converters, whose bits stay."""
        tables = {name: getattr(self, name).without(*keys) for name, keys in IMPERFECTIONS.items()}
        dropped = tuple(f"{name}.{key}" for name, keys in IMPERFECTIONS.items() for key in keys)
        overrides = {
            key: value
            for key, value in self.overrides.items()
            if not key.startswith((*dropped, "optics."))
        }
        return self.model_copy(update={**tables, "optics": None, "overrides": overrides})


IMPERFECTIONS: dict[str, tuple[str, ...]] = {
    "crossbar": ("wire_row_ohm", "wire_column_ohm", "read_voltage_V"),
    "output": ("gain_std", "offset_std_steps", "inl_steps", "noise_steps"),
    "device": ("noise", "options", "stuck_off_rate", "stuck_on_rate"),
}
"""What `Target.without_noise` leaves out."""


class Baseline(Description):
    """Digital hardware, with which the cost model compares."""

    kind: Literal["digital"]
    """digital: a baseline of the cost model."""
    compute: Compute
    memory: Memory | None = None
    overhead: Overhead | None = None
    die: Die
