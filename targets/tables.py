"""The tables of a hardware description, and where their figures come from.

The unit of a figure is the end of its key: `read_latency_ns`, `g_max_uS`. The sentence under a
field is its description in the JSON Schema (`afmc targets schema`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

Basis = Literal["measured", "published", "derived", "assumed"]
Scope = Literal["column", "tile"]
CoLocation = Literal["exclusive", "parallel", "serial"]
Compensation = Literal["none", "tile", "column", "reference"]
Value = int | float | str | bool


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("sentence", "must be a finite number.")
    if not isinstance(value, int | float | str):
        raise PydanticCustomError("sentence", "must be a number, a string, true or false.")
    return value


def _whole(value: object) -> object:
    if type(value) is not int:  # a literal 1 would take true and 1.0 as well
        raise PydanticKnownError("int_type")
    return value


Text = Annotated[str, Field(min_length=1)]
# Tables of blocks and placements count in 32 bits.
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
Bits = Annotated[int, Field(ge=2, le=16)]
BitsKey = Annotated[str, Field(pattern=r"^([2-9]|1[0-6])$")]
LARGEST = 1e36
"""No figure is larger: beyond it the simulator's single precision is at its end."""
SMALLEST = 1e-12
"""No figure but 0 is smaller: nothing is, in the units of the format, and what follows from it
stays finite."""


def _not_tiny(value: float) -> float:
    if 0 < value < SMALLEST:
        raise PydanticCustomError(
            "sentence",
            "must be at least {least}, but is {value}: is the unit right?",
            {"least": f"{SMALLEST:g}", "value": f"{value:g}"},
        )
    return value


Positive = Annotated[float, Field(gt=0, le=LARGEST), AfterValidator(_not_tiny)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST), AfterValidator(_not_tiny)]
Rate = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1), AfterValidator(_not_tiny)]
Scalar = Annotated[Value, BeforeValidator(_scalar)]
Whole = BeforeValidator(_whole)


BY_BITS = {
    "conversion_ns": "conversion_by_bits_ns",
    "conversion_energy_pJ": "conversion_energy_by_bits_pJ",
}
"""Figures of [output], and those of the same by the number of bits."""


class Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )


class Origin(Strict):
    """Where a figure comes from."""

    source: Text
    """Paper, data sheet, file of a public repository or calculation."""
    basis: Basis
    """measured: on this hardware, by the source. published: a figure of its design or of a
    simulation, as the source states it. derived: calculated from measured or published figures, as
    the source explains. assumed: nobody's figure, as the source explains."""
    note: Text | None = None
    """What a reader should know before relying on it."""


class Table(Strict):
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
        """Every figure that is given, with options one by one (`options.devices`)."""
        for key in self.keys():
            value = getattr(self, key)
            if key not in self.model_fields_set:
                continue
            if isinstance(value, Mapping):
                yield from ((f"{key}.{option}", each) for option, each in value.items())
            elif value is not None:
                yield key, value

    @classmethod
    def default_of(cls, key: str) -> Any:
        """What a figure is when it is not given; None where it must be given."""
        field = cls.model_fields[key]
        return None if field.is_required() else field.get_default(call_default_factory=True)

    @classmethod
    def requires(cls, key: str) -> bool:
        """Whether a figure must be given."""
        return cls.model_fields[key].is_required()

    def without(self, *dropped: str) -> Self:
        """This table with these figures at their defaults."""
        update = {key: self.default_of(key) for key in dropped}
        origin = {key: each for key, each in self.origin.items() if key not in dropped}
        copy = self.model_copy(update={**update, "origin": origin})
        copy.model_fields_set.difference_update(dropped)
        return copy


class Crossbar(Table):
    """The array of unit cells of a tile. One unit cell holds one signed weight."""

    rows: Count
    """Inputs, in weights."""
    columns: Count
    """Outputs, in weights."""
    active_rows: Count | None = None
    """Rows that are driven at a time; each group is converted and added digitally, the other rows
    as `selector` says. Omitted: all."""
    wire_row_ohm: NotNegative | None = None
    """Resistance of a row's wire, from one device to the next, at 25 degrees Celsius. Omitted:
    none."""
    wire_column_ohm: NotNegative | None = None
    """Resistance of a column's wire, from one device to the next, at 25 degrees Celsius. Omitted:
    none."""
    selector: Literal["none", "transistor"] = "none"
    """What cells of a row do that is not driven, because no block is there or another group of rows
    (`active_rows`) has its turn. none: they are held at 0 V and load the wires. transistor: they
    are disconnected."""
    sense: Literal["one_end", "both_ends"] = "one_end"
    """Where the current of a column is read."""
    read_voltage_V: Positive | None = None
    """Between row and column at full input. With `output.integration_ns`, thermal and shot noise of
    a column follow from it."""
    cell_energy_fJ: NotNegative | None = None
    """All devices of one weight in one integration, on average over inputs and weights. Omitted: a
    default of the cost model, which says so."""

    @field_validator("active_rows")
    @classmethod
    def _active_rows_exist(cls, value: int | None, info: ValidationInfo) -> int | None:
        rows = info.data.get("rows", math.inf)
        if value is not None and value > rows:
            raise PydanticCustomError(
                "sentence",
                "must be at most rows, {rows}, but is {value}.",
                {"rows": rows, "value": value},
            )
        return value


def _steps(bits: int | None) -> int | None:
    return None if bits is None else 2**bits - 2


class Input(Table):
    """The converters that drive the rows."""

    bits: Bits | None = None
    """Resolution of the signed input. Omitted: a perfect converter."""
    encoding: Literal["level", "pulse_width", "bit_serial"] = "level"
    """level: the size of a voltage or of light. pulse_width: how long a fixed voltage lasts.
    bit_serial: digits of the magnitude one after the other, each with a conversion of its own that
    is weighted and added digitally."""
    slice_bits: Count = 1
    """Bits of a digit of the magnitude, when the encoding is bit_serial."""
    step_ns: Positive | None = None
    """Width of a pulse of one step, when the encoding is pulse_width."""
    row_energy_pJ: NotNegative | None = None
    """To drive one row with one input, or with one digit of it. Omitted: a default of the cost
    model, which says so."""

    @property
    def steps(self) -> int | None:
        """Steps across the whole signed range, 254 for 8 bits. None: a perfect converter."""
        return _steps(self.bits)

    @model_validator(mode="after")
    def _digits_need_bits(self) -> Self:
        if self.encoding == "bit_serial" and self.bits is None:
            raise PydanticCustomError(
                "figure", "is missing: a bit-serial input has a number of bits.", {"key": "bits"}
            )
        if self.encoding == "bit_serial" and self.bits and self.slice_bits > self.bits - 1:
            raise PydanticCustomError(
                "figure",
                "is {slice}, but of {bits} bits only {magnitude} are of the magnitude.",
                {
                    "key": "slice_bits",
                    "slice": self.slice_bits,
                    "bits": self.bits,
                    "magnitude": self.bits - 1,
                },
            )
        return self


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
    columns_per_converter: Count = 1
    """Columns that take turns at one converter, and share its errors."""
    gain_std: NotNegative = 0.0
    """Spread of the converters' gain, relative, drawn once for each converter."""
    offset_std_steps: NotNegative = 0.0
    """Spread of the converters' zero, in steps, drawn once for each converter."""
    inl_steps: NotNegative = 0.0
    """Spread of the largest integral non-linearity, in steps: an S-shaped error that vanishes at
    zero and at both ends, of a size and sign drawn once for each converter."""
    noise_steps: NotNegative = 0.0
    """Noise of the converter and what is before it, in steps, drawn at each conversion."""
    conversion_ns: Positive | None = None
    """One conversion, at the resolution of `bits`. Omitted: `conversion_by_bits_ns`, or else
    `cycle_ns` times the cycles of the `converter`."""
    conversion_by_bits_ns: dict[BitsKey, Positive] = Field(default_factory=dict)
    """One conversion, by its number of bits. Another resolution follows from the nearest one, by
    the cycles of the `converter`. Without effect when `conversion_ns` is given."""
    conversion_energy_pJ: NotNegative | None = None
    """One conversion, at the resolution of `bits`. Omitted: `conversion_energy_by_bits_pJ`, or else
    `walden_fJ_step` times 2^bits."""
    conversion_energy_by_bits_pJ: dict[BitsKey, NotNegative] = Field(default_factory=dict)
    """One conversion, by its number of bits. Another resolution follows from the nearest one: twice
    as much a bit. Without effect when `conversion_energy_pJ` is given."""
    converter: Literal["sar", "ramp"] = "sar"
    """How the time of a conversion grows. sar: by successive approximation, in bits + 1 cycles.
    ramp: against a ramp or by counting, in 2^bits cycles."""
    cycle_ns: Positive | None = None
    """A cycle of the converter. Omitted: a default of the cost model, which says so."""
    walden_fJ_step: NotNegative | None = None
    """Walden's figure of merit: the energy of a conversion for each of its 2^bits steps. Omitted: a
    default of the cost model, which says so."""
    integration_ns: Positive | None = None
    """How long the current of a column is integrated for a conversion. The bandwidth of thermal and
    shot noise is 1 / (2 x this)."""

    @property
    def steps(self) -> int | None:
        """Steps across the whole signed range, 254 for 8 bits. None: a perfect converter."""
        return _steps(self.bits)

    @model_validator(mode="after")
    def _bits_need_a_bound(self) -> Self:
        if self.bits is not None and self.bound is None:
            raise PydanticCustomError(
                "figure",
                "is missing: a converter of {bits} bits needs one.",
                {"key": "bound", "bits": self.bits},
            )
        for key in ("offset_std_steps", "inl_steps", "noise_steps"):
            if self.bits is None and getattr(self, key):
                raise PydanticCustomError(
                    "figure",
                    "counts in steps of a converter, but output.bits is not given.",
                    {"key": key},
                )
        return self


class Device(Table):
    """The memory devices that hold the weights."""

    noise: str | None = Field(
        default=None,
        pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|[A-Za-z0-9][A-Za-z0-9._-]*)$",
    )
    """The device model: a name (`afmc targets devices`) or `package.module:Class`. Omitted: perfect
    devices."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Arguments of that model."""
    g_max_uS: Positive | None = None
    """Largest conductance of one polarity, all its devices together."""
    g_min_uS: NotNegative | None = None
    """Smallest conductance of one polarity, all its devices together. g_max / g_min is the on/off
    ratio."""
    transmission_max: Share | None = None
    """Largest transmission of one polarity, for light in the place of g_max_uS."""
    transmission_min: Rate | None = None
    """Smallest transmission of one polarity, for light in the place of g_min_uS."""
    encoding: Literal["differential", "offset"] = "differential"
    """differential: a weight is the difference of a positive and a negative polarity. offset: it is
    one polarity less a reference column at the middle of the range, subtracted before the
    converter."""
    devices_per_polarity: Annotated[int, Field(gt=0, le=64)]
    """Devices that share the weight on the positive side, and as many on the negative side."""
    significance: Annotated[float, Field(ge=1)] = 1.0
    """How much more than the next a device of a polarity counts. At 1 each holds an equal share;
    above it, the less significant devices are written last and correct the error of those
    before."""
    scale: Scope
    """Whether the largest absolute weight of each column, or of the whole tile, becomes g_max."""
    stuck_off_rate: Rate = 0.0
    """Share of the devices that stay at the smallest state, whatever is written; of devices that
    the model takes together, they stay together."""
    stuck_on_rate: Rate = 0.0
    """Share of the devices that stay at the largest state, whatever is written."""
    read_noise: Literal["none", "frozen", "each"] = "frozen"
    """What becomes of the model's read noise. frozen: one draw for a validation, as of slow 1/f
    noise and as in AIHWKIT. each: a new draw at each read. none: left out."""
    compensation: Compensation = "none"
    """Digital correction of drift and temperature, unless the user chooses: a factor for each
    block on a tile, for each of its columns, or from a reference column of the tile."""

    @property
    def state_max(self) -> float:
        """Largest state of a polarity, in microsiemens, or as a transmission."""
        value = self.transmission_max if self.g_max_uS is None else self.g_max_uS
        assert value is not None
        return value

    @property
    def state_min(self) -> float:
        """Smallest state of a polarity, in microsiemens, or as a transmission."""
        value = self.transmission_min if self.g_max_uS is None else self.g_min_uS
        assert value is not None
        return value

    def cells(self, devices: int) -> tuple[float, ...]:
        """Significance of the cells of a polarity, the greatest first, when a model of the device
        stands for so many of them."""
        count = self.devices_per_polarity // devices
        return tuple(self.significance**power for power in reversed(range(count)))

    def cell_max(self, devices: int) -> float:
        """Largest state of one such cell."""
        return self.state_max / sum(self.cells(devices))

    @field_validator("options")
    @classmethod
    def _options_need_noise(cls, value: dict[str, Value], info: ValidationInfo) -> dict[str, Value]:
        if value and info.data.get("noise", "") is None:
            raise PydanticCustomError(
                "sentence", "is given, but device.noise, which would take it, is not."
            )
        return value

    @model_validator(mode="after")
    def _has_one_range(self) -> Self:
        electrical, light = (
            [key for key in pair if getattr(self, key) is not None] for pair in _RANGES
        )
        if electrical and light:
            raise PydanticCustomError(
                "figure",
                "is of light, but {other}, a conductance, is given too.",
                {"key": light[0], "other": electrical[0]},
            )
        high, low = _RANGES[1] if light else _RANGES[0]
        for key in (high, low):
            if key not in electrical + light:
                hint = "" if electrical or light else " (or transmission_max, for light)"
                raise PydanticCustomError("figure", f"is missing{hint}.", {"key": key})
        if self.state_min >= self.state_max:
            raise PydanticCustomError(
                "figure",
                "must be less than {high}, {g_max}, but is {g_min}.",
                {
                    "key": low,
                    "high": high,
                    "g_max": f"{self.state_max:g}",
                    "g_min": f"{self.state_min:g}",
                },
            )
        return self

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.stuck_off_rate + self.stuck_on_rate > 1:
            raise PydanticCustomError(
                "figure",
                "and stuck_on_rate are shares of the same devices, but add up to {sum}.",
                {"key": "stuck_off_rate", "sum": f"{self.stuck_off_rate + self.stuck_on_rate:g}"},
            )
        if self.significance > 1 and self.devices_per_polarity == 1:
            raise PydanticCustomError(
                "figure",
                "is {f}, but a polarity has only one device.",
                {"key": "significance", "f": f"{self.significance:g}"},
            )
        if self.significance > 1 and self.encoding == "offset":
            raise PydanticCustomError(
                "figure",
                "is {f}, but only differential devices correct one another.",
                {"key": "significance", "f": f"{self.significance:g}"},
            )
        return self


_RANGES = (("g_max_uS", "g_min_uS"), ("transmission_max", "transmission_min"))


class Optics(Table):
    """Light and its detection, for photonic hardware. Shot noise, thermal noise and the lasers'
    relative intensity noise of an output follow from it."""

    power_mW: Positive
    """Power of one input at full scale, at the detector, through a transmission of 1."""
    responsivity_A_W: Positive
    """Responsivity of the photodiodes."""
    load_ohm: Positive
    """Resistance whose thermal noise the detector has."""
    bandwidth_GHz: Positive
    """Bandwidth of the detection."""
    rin_dB_Hz: Annotated[float, Field(lt=0)] | None = None
    """Relative intensity noise of the laser of one input. Omitted: none."""


class Tile(Table):
    """A crossbar with its converters."""

    co_location: CoLocation
    """Which blocks may share a crossbar. exclusive: one block each. parallel: blocks on separate
    rows and columns, on the same rows with the same input, or on the same columns with summed
    outputs, so that nothing waits. serial: any layout without overlap; blocks that share rows or
    columns take turns."""
    tiers: Count = 1
    """Crossbars stacked on the same converters; a tile drives one of them at a time."""
    read_phases: Annotated[Literal[1, 2, 4], Whole] = 1
    """Conversions of a product. 1: all signs at once. 2: positive inputs, then negative ones. 4:
    each sign of the inputs with each polarity of the weights; each has one sign then, and all
    codes of the converter for it. They are added digitally."""
    read_latency_ns: Positive | None = None
    """One matrix-vector product with the whole crossbar, all phases and converters included."""
    read_energy_nJ: Positive | None = None
    """One matrix-vector product with the whole crossbar, all phases and converters included."""
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
    static_power_W: NotNegative | None = None
    """Power of one chip, drawn all the time, whatever it does."""


class Links(Table):
    """What joins the tiles of a chip."""

    topology: Literal["mesh", "bus"]
    """mesh: tiles are row after row on a grid, each joined to those beside, above and below it.
    bus: every tile reaches every other one in one step."""
    columns: Count | None = None
    """Tiles beside one another, when the topology is mesh."""
    hop_energy_pJ_bit: NotNegative | None = None
    """To move one bit over one link of the mesh, or over the bus."""
    hop_latency_ns: NotNegative | None = None
    """Time of the output of a tile over one link of the mesh, or over the bus."""
    bandwidth_GB_s: Positive | None = None
    """Bandwidth of one link of the mesh, or of the bus."""

    @model_validator(mode="after")
    def _a_mesh_has_columns(self) -> Self:
        if self.topology == "mesh" and self.columns is None:
            raise PydanticCustomError(
                "figure", "is missing: a mesh has a number of columns.", {"key": "columns"}
            )
        if self.topology == "bus" and self.columns is not None:
            raise PydanticCustomError(
                "figure", "is given, but a bus has none (topology).", {"key": "columns"}
            )
        return self


class Digital(Table):
    """The units of a chip that compute what is no product with weights. A figure that is left out
    is a default of the cost model, which says so."""

    units: Count | None = None
    """On one chip. Each works on one vector at a time."""
    norm_latency_ns: NotNegative | None = None
    """Normalisation of a vector."""
    norm_energy_pJ: NotNegative | None = None
    """Normalisation, for each value."""
    activation_latency_ns: NotNegative | None = None
    """Activation function of a vector (SiLU, GELU)."""
    activation_energy_pJ: NotNegative | None = None
    """Activation function, for each value."""
    elementwise_latency_ns: NotNegative | None = None
    """Additions and multiplications of a vector."""
    elementwise_energy_pJ: NotNegative | None = None
    """An addition or multiplication of two values."""
    softmax_latency_ns: NotNegative | None = None
    """Softmax of the scores of all heads."""
    softmax_energy_pJ: NotNegative | None = None
    """Softmax, for each score."""
    add_energy_pJ: NotNegative | None = None
    """To add two partial sums of a column."""
    add_latency_ns: NotNegative | None = None
    """To add the partial sums of a product."""
    mac_energy_fJ: NotNegative | None = None
    """A multiply-accumulate of attention, with its local memory."""
    attention_TOPS: Positive | None = None
    """Multiplications and additions of attention, in 10^12 a second, of a chip."""


class Cache(Table):
    """Where keys and values of earlier tokens are kept, one byte a value."""

    bandwidth_GB_s: Positive | None = None
    """Bandwidth of the memory beside the chips."""
    energy_pJ_B: NotNegative | None = None
    """To read or write a byte of it."""
    on_chip_MB: NotNegative | None = None
    """Memory on a chip, which is used instead as long as everything fits."""
    on_chip_energy_pJ_B: NotNegative | None = None
    """To read or write a byte on a chip."""
    on_chip_bandwidth_GB_s: Positive | None = None
    """Bandwidth of the memory on a chip."""


class System(Table):
    """What the chips are built into."""

    chips: Count | None = None
    """Chips that are there. Omitted: as many as the model needs."""
    link_energy_pJ_bit: NotNegative | None = None
    """To move one bit from a chip to the next."""
    link_latency_ns: NotNegative | None = None
    """Time of a vector from a chip to the next."""
    link_bandwidth_GB_s: Positive | None = None
    """Between two chips."""


class Compute(Table):
    """The arithmetic of a digital chip, at its peak."""

    int8_TOPS: Positive | None = None
    """Multiplications and additions of 8-bit integers, dense, in 10^12 a second."""
    fp16_TFLOPS: Positive | None = None
    """Multiplications and additions of 16-bit floating point, dense, in 10^12 a second."""
    mac_energy_fJ: Positive | None = None
    """One multiply-accumulate of 8-bit integers, with its local memory."""
    flop_energy_pJ: Positive | None = None
    """One floating-point operation of a matrix product, as fitted on whole devices."""


class Memory(Table):
    """Where a digital chip reads weights and the KV cache from."""

    bandwidth_GB_s: Positive | None = None
    """At its peak."""
    capacity_GB: Positive | None = None
    """Memory of one chip."""
    weight_energy_pJ_B: Positive | None = None
    """To read a byte of the weights."""
    kv_energy_pJ_B: Positive | None = None
    """To read a byte of the KV cache."""
    weight_efficiency: Share | None = None
    """Share of the bandwidth that reading weights reaches."""
    kv_efficiency: Share | None = None
    """Share of the bandwidth that reading the KV cache reaches."""


class Overhead(Table):
    """What a step of a digital chip takes besides arithmetic and memory."""

    step_ms: NotNegative | None = None
    """Time that every step takes besides."""
    layer_us: NotNegative | None = None
    """The least of a layer."""
    idle_power_W: NotNegative | None = None
    """Drawn all the time."""


class Die(Table):
    """A digital chip."""

    area_mm2: Positive | None = None
    """The die."""
    power_W: Positive | None = None
    """The most that it may draw."""
