"""The program: everything the compiler decided, as plain data.

Frozen dataclasses and NumPy tables keyed by the parameter's name in the model. No tensors, so the
size of a program does not depend on the weights. A program only ever gains facts: a pass returns a
new one with more fields filled in (`dataclasses.replace`).

Rows are inputs and columns are outputs, everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afmc.defects import Defects

SCHEMA_VERSION = 1

# A rectangle of a group's matrix that one crossbar holds. `group` counts in Program.groups, `copy`
# in the experts of a bank, `replica` in the times that the same weights are there.
BLOCK = np.dtype(
    [
        ("group", "<i4"),
        ("copy", "<i4"),
        ("replica", "<i4"),
        ("row", "<i4"),
        ("col", "<i4"),
        ("rows", "<i4"),
        ("cols", "<i4"),
    ]
)

# Where a block sits, tiles counted through without regard to chips.
ALLOCATION = np.dtype([("block", "<i4"), ("tile", "<i4"), ("row", "<i4"), ("col", "<i4")])

# Where a block sits in the system. `tile` counts within the chip, `tier` within the tile; `row` and
# `col` are the first of its lines, counted in the order of its crossbar: ascending without those
# that are dead, or as Program.orders says.
PLACEMENT = np.dtype(
    [
        ("block", "<i4"),
        ("chip", "<i4"),
        ("tile", "<i4"),
        ("tier", "<i4"),
        ("row", "<i4"),
        ("col", "<i4"),
    ]
)

# A crossbar that is filled in an order of its own, and how many rows and columns of it are.
ORDER = np.dtype(
    [("chip", "<i4"), ("tile", "<i4"), ("tier", "<i4"), ("rows", "<i4"), ("cols", "<i4")]
)
LINE = np.dtype("<i4")

Table = NDArray[np.void]
Lines = NDArray[np.int32]
Stored = Literal["cols_rows", "rows_cols"]
Rule = Literal["exclusive", "parallel", "serial"]
Objective = Literal["tiles", "latency", "energy", "accuracy"]
SolverStatus = Literal["OPTIMAL", "FEASIBLE"]
Pace = Literal["throughput", "latency"]
Scope = Literal["column", "tile"]
RepairMethod = Literal["permute", "pair"]
Unit = Literal["token", "inference"]
ONE: dict[Unit, str] = {"token": "a token", "inference": "an inference"}
"""A unit in words."""
WorkKind = Literal["norm", "activation", "softmax", "attention", "elementwise", "look-up"]


@dataclass(frozen=True)
class Model:
    """Which model the program was made from."""

    name: str
    """As the user wrote it."""
    architecture: str
    """Class name, for instance ``LlamaForCausalLM``."""
    sha256: str
    """Of the weight files, or of the tensors for a model handed over in memory."""
    parameters: int
    """Stored weights, tied ones counted once."""
    shapes_only: bool = False
    """No weights were read: `sha256` is that of the configuration, or of names and shapes."""
    unit: Unit = "token"
    """What all counts are for: a token of a language model, or an inference, with one sample, of
    any other model. Where names and texts here say token, an inference is meant then."""


@dataclass(frozen=True)
class Matrix:
    """A constant weight matrix that a linear operation multiplies by."""

    name: str
    """Name of the parameter in the model."""
    rows: int
    """Inputs."""
    cols: int
    """Outputs."""
    input: str
    """The activation it reads. Matrices with the same one can be merged."""
    copies: int = 1
    """Experts of a mixture-of-experts bank stored as one 3-D parameter."""
    per_token: float = 1.0
    """Uses for one token, of all copies together: 1, or how many experts of a bank it takes; for an
    inference as many as there are vectors, of a convolution one for each window."""
    input_range: float | None = None
    """Half width of the input converter's range, in units of the activation; the largest one where
    there are `slice_ranges`."""
    module: str = ""
    """Path of the module whose operation reads it."""
    layer: str = "torch.nn.modules.linear.Linear"
    """Full name of that module's class."""
    operation: str = "aten.linear.default"
    """Operator in the exported graph."""
    stored: Stored = "cols_rows"
    """Order in the checkpoint: nn.Linear keeps [cols, rows], GPT-2's Conv1D [rows, cols]."""
    bias: str | None = None
    """Name of the bias parameter, added digitally."""
    tied_to: str | None = None
    """Another parameter that shares its storage, for instance the embedding."""
    chooses: bool = False
    """Whether what it computes is ranked, as a router's scores of experts are."""
    sources: tuple[str, ...] = ()
    """Matrices whose outputs reach its input along a path with no other matrix on it, in dataflow
    order. Where values are added up, a summand's matrix is left out if another summand was computed
    from it: of a residual stream's running sum only what was added last is named. So q, k and v
    read from the down_proj before them, and not from every one before that. Empty for what is
    computed from the embedding alone."""
    slice_ranges: tuple[float, ...] = ()
    """Half widths for so many pieces of the rows (`even_pieces`), where a training found different
    ones: `largest_over` says which of them holds for rows that are driven together."""

    @property
    def drive(self) -> tuple[object, ...]:
        """What its row drivers are set to: matrices that are alike in it can share them."""
        return self.input, self.input_range, self.slice_ranges

    @property
    def weights(self) -> int:
        return self.rows * self.cols * self.copies

    @property
    def macs_per_token(self) -> float:
        return self.rows * self.cols * self.per_token


def even_pieces(length: int, count: int) -> list[int]:
    """Sizes of pieces of nearly equal size, the first ones one longer, as AIHWKIT cuts."""
    size, longer = divmod(length, count)
    return [size + 1] * longer + [size] * (count - longer)


def largest_over(ranges: Sequence[float], rows: int, first: int, last: int) -> float:
    """The largest range of the pieces of `rows` that have a row from `first` up to before `last`.

    Where the blocks are cut at the same rows as the pieces, or more often, that is the piece's own;
    with a smaller one inputs would be clipped that were not when the ranges were found.
    """
    found, start = 0.0, 0
    for size, each in zip(even_pieces(rows, len(ranges)), ranges, strict=True):
        if start < last and first < start + size:
            found = max(found, each)
        start += size
    return found


@dataclass(frozen=True)
class Remainder:
    """Operations of the graph that no matrix covers, by operator."""

    operation: str
    count: int
    reason: str
    weights: int = 0
    """Constant weights that only these operations read (norm scales, embeddings)."""


@dataclass(frozen=True)
class Work:
    """Digital work between two matrices, for one token."""

    after: str
    """The matrix that is read last before it, in the order of execution; empty for none."""
    kind: WorkKind
    """norm: of vectors. activation, elementwise, softmax: functions of single values. attention:
    products of activations with what is kept of earlier tokens. look-up: of an embedding."""
    values: float = 0.0
    """Results for a token, whatever came before it."""
    by_position: float = 0.0
    """Results for a token for each position of its context; multiply-accumulates of attention."""
    cached: float = 0.0
    """Values that a token leaves for the attention of later ones, before they are repeated."""
    window: int | None = None
    """Positions that it looks at, at most; None: the whole context."""


@dataclass(frozen=True)
class Group:
    """Analog matrices laid side by side because they read the same input. One is the usual case."""

    members: tuple[str, ...]
    rows: int
    cols: int
    copies: int = 1
    replicas: tuple[int, ...] = ()
    """How many times each copy is there, so that tokens can share them; empty: once each."""

    @property
    def name(self) -> str:
        """``a.b.{q_proj,k_proj}.weight`` for several, the parameter's name for one."""
        if len(self.members) == 1:
            return self.members[0]
        split = [member.split(".") for member in self.members]
        if len({len(parts) for parts in split}) != 1:
            return "+".join(self.members)
        columns = list(zip(*split, strict=True))
        return ".".join(c[0] if len(set(c)) == 1 else "{" + ",".join(c) + "}" for c in columns)


@dataclass(frozen=True)
class Allocation:
    """How many tiles, and the proof of how many it takes at least."""

    rule: Rule
    tiles: int
    lower_bound: int
    status: SolverStatus
    bounds: Mapping[str, int]
    """Every bound that was computed, by name; `lower_bound` is the largest."""
    patterns: int
    """Ways to fill a tile that the solver chose from; 0 when there was no choice."""
    turns: int = 1
    """Reads one after the other of a tile all of whose blocks are wanted, on the tile with most:
    blocks on one row driver or column line take turns. As if all read different inputs."""
    mean_turns: float = 1.0
    """Mean over the tiles."""

    @property
    def gap(self) -> float:
        """(tiles - lower bound) / tiles, 0 when proven."""
        return (self.tiles - self.lower_bound) / self.tiles if self.tiles else 0.0


@dataclass(frozen=True)
class ExpertWaits:
    """The longest wait for experts: the most reads that one tile does for a bank and a token, as
    the mean over tokens, and as the sum over the stages that hold a bank."""

    source: str
    """Where the tokens are from, in words."""
    tokens: int
    """Held out: the placement has not seen them."""
    reads: float
    bound: float
    """No placement onto the same chips has less on these tokens."""
    in_order: float
    """Of crossbars filled one after the other, on the same chips."""
    at_random: float


@dataclass(frozen=True)
class Placing:
    """What the placement achieved, and what no placement could undercut."""

    strategy: str
    chips: int
    """The fewest that hold the tiles."""
    border_bytes: float
    """Bytes a token across the borders of chips, one after the other; by an exact search."""
    reads: float
    """Reads of tiles one after the other for a token: for each stage the most of one tile."""
    reads_bound: float
    load: float
    """Reads a token of the busiest tile."""
    load_bound: float
    byte_hops: float | None = None
    """Bytes a token times the links between tiles of a chip that they pass; None: no network."""
    byte_hops_bound: float | None = None
    experts: ExpertWaits | None = None
    """None without banks of experts."""


@dataclass(frozen=True)
class Replication:
    """How much copies of weights save, and the proof that nothing within the budget saves more.

    A turn is one product of every crossbar that holds a part of a copy of a group. Where `r`
    replicas share `n` uses, these take `n / r` turns, rounded up.
    """

    objective: Pace
    """``throughput``: turns of the group that takes most of them. ``latency``: of all groups, one
    after the other; the experts of a bank work at the same time."""
    tokens: int
    """That run through at once."""
    budget: int
    """Crossbars, one for each block."""
    crossbars: int
    """Of these used: fewer tiles where blocks share tiles."""
    turns: int
    turns_alone: int
    """Without replicas."""
    lower_bound: int
    """No choice within the budget takes fewer turns."""
    status: SolverStatus


@dataclass(frozen=True)
class Training:
    """The hardware that a model was trained for, as its checkpoint says.

    Weights are clipped and quantised as it says before they are mapped; converters are those of
    the target, whatever is said here.
    """

    source: str
    """What says so."""
    input_steps: float | None
    """Across the input converters' range, 254 for 8 bits; None: perfect ones."""
    output_steps: float | None
    """Across the output converters' range; None: perfect ones."""
    output_bound: float | None
    """Full scale of the output, in units of input range x w_max; None: nothing is clipped."""
    output_range: Scope
    """Over what w_max, the largest absolute weight, is taken."""
    ranges: Literal["static", "dynamic", "none"]
    """Of inputs: one for all tokens, one a token, or no clipping at all."""
    max_rows: int | None
    """Of a row slice, into as few of which a matrix was cut; None: matrices were not cut."""
    clip: Literal["none", "matrix", "column", "learned"]
    """What the weights were clipped by: standard deviations of the whole matrix or of each column,
    or a learned limit of each column of a slice."""
    clip_sigma: float | None
    """So many standard deviations."""
    weight_noise: float
    """Standard deviation that was added while training, as a share of w_max; 0: none."""
    weight_noise_of: Scope
    weight_steps: float | None
    """Of quantised weights, from -w_max to w_max; None: not quantised."""
    weight_steps_of: Scope
    output_noise: float
    """Standard deviation that was added while training, in units of input range x w_max."""


@dataclass(frozen=True)
class Calibration:
    """How the input ranges were found that the model did not bring along."""

    method: str
    """``std:18``: 18 standard deviations; ``percentile:99.99``: of the absolute values."""
    text: str
    """Name of the text, and the SHA-256 of what was read of it."""
    text_sha256: str
    tokens: int
    """Or samples, where the model's unit is an inference."""


OCTAVES = 8


@dataclass(frozen=True)
class Distribution:
    """How a matrix makes use of full scale, as shares of values by size, [OCTAVES + 2]: those above
    full scale, those from there down to more than a half of it, to more than a quarter, and so on,
    and the rest, of at most 2^-OCTAVES of it, which 8 bits do not tell from zero."""

    weights: tuple[float, ...]
    """Against the weight of full conductance of their column or crossbar."""
    inputs: tuple[float, ...] = ()
    """Against the range of the converters, which clip those above it; empty where not seen."""

    @property
    def clipped(self) -> float | None:
        """Share of the inputs that converters clip."""
        return self.inputs[0] if self.inputs else None


@dataclass(frozen=True)
class Distributions:
    """Of the analog matrices; derived from the weights, and measured of inputs on a text."""

    text: str
    """Name of the text, and SHA-256 of what was read of it; empty where inputs were not seen."""
    text_sha256: str
    tokens: int
    matrices: Mapping[str, Distribution]


@dataclass(frozen=True, eq=False)
class Routing:
    """Which experts a sample of tokens went to."""

    source: str
    """Where the sample is from, in words."""
    experts: Mapping[str, NDArray[np.int32]]
    """Path of the experts' module -> [tokens, experts of a token], numbers of experts."""

    def shares(self, matrix: Matrix) -> NDArray[np.float64]:
        """How the uses of a bank spread over its experts, [copies], 1 in sum."""
        counts = self.counts(matrix)
        return counts / counts.sum()

    def counts(self, matrix: Matrix) -> NDArray[np.int64]:
        """Tokens that each expert of a bank got, [copies]."""
        return np.bincount(self.experts[matrix.module].ravel(), minlength=matrix.copies)


@dataclass(frozen=True)
class Applied:
    """A pass that ran, with all its options."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Lever:
    """A change that takes fewer tiles or fits, checked by running the passes with it."""

    change: str
    """As one would type it."""
    tiles: int
    chips: int
    needs: str = ""
    """What the hardware would have to be able to do besides."""
    macs_lost: float = 0.0
    """Share of the multiply-accumulates of all matrices that it moves off the tiles."""

    def __str__(self) -> str:
        lost = (
            f", {100 * self.macs_lost:.1f} % of multiply-accumulates go digital"
            if self.macs_lost
            else ""
        )
        needs = f", if {self.needs}" if self.needs else ""
        return f"{self.change} ({self.tiles} tiles, {self.chips} chips{lost}{needs})"


@dataclass(frozen=True)
class Limit:
    """What a mapping takes of something that a system has only so much of."""

    of: Literal["chips", "crossbars", "cells"]
    """A tier of a stacked tile is a crossbar; a cell holds one weight."""
    demand: int
    supply: int

    @property
    def left(self) -> int:
        return max(0, self.supply - self.demand)

    @property
    def deficit(self) -> int:
        return max(0, self.demand - self.supply)


@dataclass(frozen=True)
class FitReport:
    """Why a model does not fit its system, and what would."""

    model: str
    target: str
    rule: Rule
    limits: tuple[Limit, ...]
    """Of chips, crossbars and cells."""
    bound: str
    """Name of the largest lower bound on the crossbars."""
    at_least: int
    """Its value: crossbars that these blocks take under this rule, however they are mapped."""
    levers: tuple[Lever, ...] = ()

    @property
    def proven(self) -> Literal["all layouts", "this rule"] | None:
        """What it is proven of that it does not fit; None where a mapping that fits may exist."""
        if self._limit("cells").deficit:
            return "all layouts"
        return "this rule" if self.at_least > self._limit("crossbars").supply else None

    @property
    def proof(self) -> str:
        supply, cells = self._limit("crossbars").supply, self._limit("cells")
        if self.proven == "all layouts":
            return (
                f"No layout of these weights fits: they need {cells.demand:,} cells (area), and "
                f"the system has {cells.supply:,}."
            )
        if self.proven == "this rule":
            return (
                f"No mapping of these blocks under the rule {self.rule} fits: it takes at least "
                f"{self.at_least:,} crossbars ({self.bound}), and the system has {supply:,}."
            )
        return (
            f"This is the mapping that was found; one that fits is not ruled out: at least "
            f"{self.at_least:,} crossbars are needed ({self.bound}), and the system has {supply:,}."
        )

    def _limit(self, of: str) -> Limit:
        return next(limit for limit in self.limits if limit.of == of)


@dataclass(frozen=True)
class Repair:
    """What was done about stuck cells, and what of it is left.

    Errors are the squared error of all products that the stuck cells cause, as a share of the
    squared products, for inputs that are independent of one another: derived from the weights.
    """

    methods: tuple[RepairMethod, ...]
    """``permute``: the lines of crossbars are filled in `Program.orders`. ``pair``: the working
    devices of a weight are programmed to make up for its stuck ones."""
    inputs: str
    """Name of the text on which the size of each input was measured; empty: all alike."""
    devices: int
    """Stuck devices under weights."""
    error_without: float
    """With neither method."""
    error: float


@dataclass(frozen=True, eq=False)
class Program:
    """Tables cannot be written to once they are in a program: copy one to change it."""

    model: Model
    matrices: tuple[Matrix, ...]
    """In dataflow order."""
    remainder: tuple[Remainder, ...] = ()
    """What the graph does besides, all of it digital."""
    calibration: Calibration | None = None
    """None when every range came with the model, or the target's converters are perfect."""
    training: Training | None = None
    """None where the model does not say what it was trained for."""
    routing: Routing | None = None
    """None where there are no banks of experts, or no text to see them at work on."""
    work: tuple[Work, ...] = ()
    """What is computed besides matrices, as executed; empty where that is not known."""
    digital: Mapping[str, str] | None = None
    """Matrix name to reason, once `partition` has run."""
    groups: tuple[Group, ...] = ()
    """Analog matrices by shared input, once `merge` has run."""
    blocks: Table = field(default_factory=lambda: np.zeros(0, BLOCK))
    replication: Replication | None = None
    """None where nobody asked for replicas."""
    allocation: Allocation | None = None
    allocations: Table = field(default_factory=lambda: np.zeros(0, ALLOCATION))
    placements: Table = field(default_factory=lambda: np.zeros(0, PLACEMENT))
    placing: Placing | None = None
    applied: tuple[Applied, ...] = ()
    defects: Defects | None = None
    """What is broken in the system that this is compiled for."""
    moved: int | None = None
    """Blocks that are elsewhere than in the compile whose placements were to be kept; None where
    none was."""
    distributions: Distributions | None = None
    """None where the weights are not known."""
    repair: Repair | None = None
    """None where no weight meets a stuck cell, or the weights are not known."""
    orders: Table = field(default_factory=lambda: np.zeros(0, ORDER))
    lines: Lines = field(default_factory=lambda: np.zeros(0, LINE))
    """The physical rows of the first crossbar of `orders`, then its columns, then those of the
    next: the i-th is where the i-th line of its blocks is."""

    @cached_property
    def order_of(self) -> dict[tuple[int, int, int], tuple[Lines, Lines]]:
        """Physical rows and columns by chip, tile and tier, where these are not ascending."""
        found, first = {}, 0
        for chip, tile, tier, rows, cols in self.orders.tolist():
            middle, last = first + rows, first + rows + cols
            found[chip, tile, tier] = self.lines[first:middle], self.lines[middle:last]
            first = last
        return found

    def __post_init__(self) -> None:
        for table in (self.blocks, self.allocations, self.placements):
            table.flags.writeable = False

    def matrix(self, name: str) -> Matrix:
        return self.by_name[name]

    @cached_property
    def by_name(self) -> dict[str, Matrix]:
        return {matrix.name: matrix for matrix in self.matrices}

    def uses_of(self, group: Group) -> tuple[Fraction, ...]:
        """Products of each copy for one token, as the routing has it, or all copies alike."""
        matrix = self.by_name[group.members[0]]
        # A quotient of two counts that went through floating point is that quotient again.
        uses = Fraction(matrix.per_token).limit_denominator(1_000_000)
        if self.routing is None or matrix.module not in self.routing.experts:
            return (uses / group.copies,) * group.copies
        counts = self.routing.counts(matrix).tolist()
        return tuple(uses * Fraction(count, sum(counts)) for count in counts)

    @property
    def analog(self) -> tuple[Matrix, ...]:
        """The matrices that are not digital, in dataflow order."""
        digital = self.digital or {}
        return tuple(m for m in self.matrices if m.name not in digital)
