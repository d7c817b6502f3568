"""What a hardware description may say: geometry, converters, devices, and sources of figures.

The unit of a figure is the end of its key: `read_latency_ns`, `g_max_uS`. The sentence under a
field is its description in the JSON Schema (`afmc targets schema`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Basis = Literal["measured", "published", "derived", "assumed"]
Scope = Literal["column", "tile"]
CoLocation = Literal["exclusive", "parallel"]
Value = int | float | str | bool


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("sentence", "must be a finite number.")
    if not isinstance(value, int | float | str):
        raise PydanticCustomError("sentence", "must be a number, a string, true or false.")
    return value


Text = Annotated[str, Field(min_length=1)]
# Tables of blocks and placements count in 32 bits.
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
Bits = Annotated[int, Field(ge=2, le=16)]
Positive = Annotated[float, Field(gt=0)]
Scalar = Annotated[Value, BeforeValidator(_scalar)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )


class Origin(_Strict):
    """Where a figure comes from."""

    source: Text
    """Paper, data sheet, file of a public repository or calculation."""
    basis: Basis
    """measured: on this hardware, by the source. published: a figure of its design or of a
    simulation, as the source states it. derived: calculated from measured or published figures, as
    the source explains. assumed: nobody's figure, as the source explains."""
    note: Text | None = None
    """What a reader should know before relying on it."""


SET_BY_USER = Origin(source="set by the user", basis="assumed")


class Table(_Strict):
    """A table of figures with one source for all of them, and other origins for the exceptions."""

    source: Text
    """Where the figures of this table come from."""
    basis: Basis
    """What the source is worth. It holds for every figure that `origin` does not list."""
    origin: dict[str, Origin] = Field(default_factory=dict)
    """Figures of this table that come from elsewhere, by key."""

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys that are figures, in order."""
        return tuple(key for key in cls.model_fields if key not in Table.model_fields)

    @model_validator(mode="after")
    def _origins_name_figures(self) -> Self:
        for key in self.origin:
            if key not in self.keys():
                raise PydanticCustomError("origin_unknown", "", {"key": key, "known": self.keys()})
            if key not in self.model_fields_set or getattr(self, key) is None:
                raise PydanticCustomError("origin_unset", "", {"key": key})
        return self

    def origin_of(self, key: str) -> Origin:
        """Where the figure with that key comes from."""
        return self.origin.get(key) or Origin(source=self.source, basis=self.basis)

    def figures(self) -> Iterator[tuple[str, Value]]:
        """Every figure that is set, with options one by one (`options.devices`)."""
        for key in self.keys():
            value = getattr(self, key)
            if isinstance(value, Mapping):
                yield from ((f"{key}.{option}", each) for option, each in value.items())
            elif value is not None:
                yield key, value


class Crossbar(Table):
    """The array of unit cells of a tile. One unit cell holds one signed weight."""

    rows: Count
    """Inputs, in weights."""
    columns: Count
    """Outputs, in weights."""


def _steps(bits: int | None) -> int | None:
    return None if bits is None else 2**bits - 2


class Input(Table):
    """The converters that drive the rows."""

    bits: Bits | None = None
    """Resolution of the signed input. Omitted: a perfect converter."""

    @property
    def steps(self) -> int | None:
        """Steps across the whole signed range, 254 for 8 bits. None: a perfect converter."""
        return _steps(self.bits)


class Output(Table):
    """The converters that read the columns."""

    bits: Bits | None = None
    """Resolution of the signed output. Omitted: a perfect converter, which does not clip."""
    bound: Positive | None = None
    """Full scale, in units of input range x w_max: the largest product that is not clipped. Needed
    when `bits` is given, without effect when it is not."""
    range: Scope
    """Whether w_max, the largest absolute weight, is taken over each column of the tile or over the
    whole tile."""

    @property
    def steps(self) -> int | None:
        """Steps across the whole signed range, 254 for 8 bits. None: a perfect converter."""
        return _steps(self.bits)

    @model_validator(mode="after")
    def _bits_need_a_bound(self) -> Self:
        if self.bits is not None and self.bound is None:
            raise PydanticCustomError("bound_missing", "", {"bits": self.bits})
        return self


class Device(Table):
    """The memory devices that hold the weights, in differential pairs."""

    noise: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
    """`package.module:Class` of the device model. Omitted: perfect devices."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Arguments of that class."""
    g_max_uS: Positive
    """Largest conductance of one polarity, all its devices together."""
    g_min_uS: float = Field(ge=0)
    """Smallest conductance of one polarity, all its devices together."""
    devices_per_polarity: Count
    """Devices that share the weight on the positive side, and as many on the negative side."""
    scale: Scope
    """Whether the largest absolute weight of each column, or of the whole tile, becomes g_max."""

    @field_validator("options")
    @classmethod
    def _options_need_noise(cls, value: dict[str, Value], info: ValidationInfo) -> dict[str, Value]:
        if value and info.data.get("noise", "") is None:
            raise PydanticCustomError(
                "sentence", "is given, but device.noise, which would take it, is not."
            )
        return value

    @field_validator("g_min_uS")
    @classmethod
    def _below_g_max(cls, value: float, info: ValidationInfo) -> float:
        g_max = info.data.get("g_max_uS", math.inf)
        if value >= g_max:
            raise PydanticCustomError(
                "sentence",
                "must be less than g_max_uS, {g_max}, but is {g_min}.",
                {"g_max": f"{g_max:g}", "g_min": f"{value:g}"},
            )
        return value


class Tile(Table):
    """A crossbar with its converters."""

    co_location: CoLocation
    """Which blocks may share a crossbar. exclusive: one block each. parallel: blocks on separate
    rows and columns, on the same rows with the same input, or on the same columns with summed
    outputs, so that nothing waits."""
    tiers: Count = 1
    """Crossbars stacked on the same converters; a tile drives one of them at a time."""
    read_latency_ns: Positive | None = None
    """One matrix-vector product with the whole crossbar, converters included."""
    read_energy_nJ: Positive | None = None
    """One matrix-vector product with the whole crossbar, converters included."""
    area_mm2: Positive | None = None
    """The crossbar with its converters."""


class Chip(Table):
    """A die."""

    tiles: Count
    """Tiles on one die."""
    area_mm2: Positive | None = None
    """The whole die."""
    power_W: Positive | None = None
    """With every tile busy."""


class System(Table):
    """What the chips are built into."""

    chips: Count | None = None
    """Chips that are there. Omitted: as many as the model needs."""


class Target(_Strict):
    """A hardware description."""

    schema_version: Literal[1]
    """Of this format: 1."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Letters, digits, dots, dashes and underscores; the name of the file without `.toml` when the
    description comes with a package."""
    title: Text
    """One line for `afmc targets list`."""
    description: Text
    """What the hardware is, and what the description leaves out."""
    crossbar: Crossbar
    input: Input
    output: Output
    device: Device
    tile: Tile
    chip: Chip
    system: System
    overrides: Mapping[str, Scalar | None] = Field(default_factory=dict)
    """Figures that the user set (`--set target.KEY=VALUE`), by dotted key. Not for files."""

    @classmethod
    def tables(cls) -> dict[str, type[Table]]:
        """The tables of a description by name, in order."""
        annotations = {name: field.annotation for name, field in cls.model_fields.items()}
        return {
            name: table
            for name, table in annotations.items()
            if isinstance(table, type) and issubclass(table, Table)
        }

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The dotted keys of all figures, set or not, in order."""
        tables = cls.tables().items()
        return tuple(f"{name}.{key}" for name, table in tables for key in table.keys())

    def origin_of(self, key: str) -> Origin:
        """Where a figure comes from, by dotted key (`tile.read_latency_ns`)."""
        name, figure = (*key.split("."), "")[:2]
        if f"{name}.{figure}" not in self.keys():
            raise KeyError(key)
        if key in self.overrides:
            return SET_BY_USER
        table: Table = getattr(self, name)
        return table.origin_of(figure)

    def figures(self) -> list[tuple[str, Value, Origin]]:
        """Every figure that is set: dotted key, value, and where it comes from."""
        return [
            (f"{name}.{key}", value, self.origin_of(f"{name}.{key}"))
            for name in self.tables()
            for key, value in getattr(self, name).figures()
        ]

    def without_noise(self) -> Target:
        """The same hardware with perfect devices. The converters stay as they are."""
        dropped = ("noise", "options")
        kept = {key: each for key, each in self.device.origin.items() if key not in dropped}
        device = self.device.model_copy(update={"noise": None, "options": {}, "origin": kept})
        overrides = {
            key: value
            for key, value in self.overrides.items()
            if not key.startswith(("device.noise", "device.options."))
        }
        return self.model_copy(update={"device": device, "overrides": overrides})
