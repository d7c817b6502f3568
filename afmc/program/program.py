"""The program: everything the compiler decided, as plain data.

Frozen dataclasses and NumPy tables keyed by the parameter's name in the model. No tensors, so the
size of a program does not depend on the weights. A program only ever gains facts: a pass returns a
new one with more fields filled in (`dataclasses.replace`).

Rows are inputs and columns are outputs, everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afmc.common.described import described
from afmc.fit import Rule
from afmc.hardware.defects import Defects
from afmc.program.model import Matrix, Model, Remainder, Work
from afmc.program.observed import Calibration, Distributions, Routing, Training
from afmc.program.recovery import Recovery
from afmc.program.rewriting import Rewriting

SCHEMA_VERSION = 2

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
Objective = Literal["tiles", "latency", "energy", "accuracy"]
SolverStatus = Literal["OPTIMAL", "FEASIBLE"]
Pace = Literal["throughput", "latency", "accuracy"]
RepairMethod = Literal["permute", "pair"]


@dataclass(frozen=True)
class Group:
    """Analog matrices laid side by side because they read the same input. One is the usual case."""

    members: tuple[str, ...]
    rows: int
    cols: int
    copies: int = 1
    replicas: tuple[int, ...] = ()
    """How many times each copy is there, so that tokens can share them, or so that products are
    the mean of all; empty: once each."""

    @property
    def mean_share(self) -> float:
        """What the mean over replicas leaves of the square of errors that differ from one to the
        next, as the mean over copies."""
        return sum(1 / n for n in self.replicas) / self.copies if self.replicas else 1.0

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

    source: str = described("Where the tokens are from, in words.")
    tokens: int = described("Held out: the placement has not seen them.")
    reads: float = described(
        "Reads of one tile for a bank and a token, the longest wait, summed over stages.", "reads"
    )
    bound: float = described("No placement onto the same chips has less on these tokens.", "reads")
    in_order: float = described(
        "Reads if crossbars were filled one after the other, on the same chips.", "reads"
    )
    at_random: float = described("Reads if crossbars were filled at random.", "reads")


@dataclass(frozen=True)
class Placing:
    """What the placement achieved, and what no placement could undercut."""

    strategy: str = described("Strategy of the pass place.")
    chips: int = described("The fewest chips that hold the tiles.")
    border_bytes: float = described(
        "Bytes a token across the borders of chips, one after the other; by an exact search.",
        "bytes",
    )
    reads: float = described(
        "Sequential reads for a token: for each stage the most of one tile.", "reads"
    )
    reads_bound: float = described("No placement has fewer sequential reads.", "reads")
    load: float = described("Reads of the busiest tile for a token.", "reads")
    load_bound: float = described("No placement has fewer of these.", "reads")
    byte_hops: float | None = described(
        "Bytes of a token times the links between tiles of a chip that they pass; null without a "
        "network.",
        "bytes",
        default=None,
    )
    byte_hops_bound: float | None = described(
        "No placement has fewer of these.", "bytes", default=None
    )
    experts: ExpertWaits | None = described(
        "The longest wait for experts; null without banks of them.", default=None
    )


@dataclass(frozen=True)
class Replication:
    """How much copies of weights save, and the proof that nothing within the budget saves more.

    A turn is one product of every crossbar that holds a part of a copy of a group. Where `r`
    replicas share `n` uses, these take `n / r` turns, rounded up. Where products are the mean of
    all replicas, no turns are saved: errors that differ from replica to replica are.
    """

    objective: Pace = described(
        "What replicas save. throughput: turns of the group that takes most of them. latency: of "
        "all groups, one after the other; the experts of a bank work at the same time. accuracy: "
        "errors, as every product is the mean of all replicas."
    )
    tokens: int = described("Tokens that run through at once.")
    budget: int = described("Crossbars that may be used, one for each block.")
    crossbars: int = described(
        "Crossbars of the budget that are used: fewer tiles where blocks share tiles."
    )
    turns: int = described("Turns with replicas.")
    turns_alone: int = described("Turns without replicas.")
    lower_bound: int = described("No choice within the budget takes fewer turns.")
    status: SolverStatus = described("How far the proof came.")
    divergence: float | None = described(
        "With accuracy: sum over all groups of the KL divergence that each causes alone, by its "
        "replicas; as measured without them.",
        "nats",
        default=None,
    )
    divergence_alone: float | None = described("That sum without replicas.", "nats", default=None)
    divergence_bound: float | None = described(
        "No choice within the budget has less.", "nats", default=None
    )


@dataclass(frozen=True)
class Applied:
    """A pass that ran, with all its options."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Repair:
    """What was done about stuck cells, and what of it is left.

    Errors are the squared error of all products that the stuck cells cause, as a share of the
    squared products, for inputs that are independent of one another: derived from the weights.
    """

    methods: tuple[RepairMethod, ...] = described(
        "permute: the lines of crossbars are filled in an order of their own. pair: the working "
        "devices of a weight are programmed to make up for its stuck ones."
    )
    inputs: str = described(
        "The text on which the size of each input was measured; empty: all alike."
    )
    devices: int = described("Stuck devices under weights.")
    error_without: float = described(
        "Squared error of products that stuck cells cause, as a share of their square, with "
        "neither method."
    )
    error: float = described("What is left of that error.")


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
    recovery: Recovery | None = None
    """None where nothing was asked for, -O0."""
    rewriting: Rewriting | None = None
    """None where the weights are those that the model came with."""
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

    @property
    def averaged(self) -> bool:
        """Whether a product is the mean of all replicas, in the place of that of one of them."""
        return self.replication is not None and self.replication.objective == "accuracy"

    @property
    def has_recovered(self) -> bool:
        """Whether tensors of a recovery lie beside it: keys and values, and directions."""
        r = self.recovery
        return r is not None and not self.model.shapes_only and bool(r.prefix or r.ranks)

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
