"""The model that a program was made from: its matrices, and what it computes besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Stored = Literal["cols_rows", "rows_cols"]


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
    """SHA-256 of the weight files, or of the tensors for a model handed over in memory."""
    parameters: int
    """Stored weights, tied ones counted once."""
    shapes_only: bool = False
    """No weights were read: `sha256` is that of the configuration, or of names and shapes."""
    unit: Unit = "token"
    """What all counts are for: a token of a language model, or an inference, with one sample, of
    any other model. Where names and texts here say token, an inference is meant then."""
    positions: int | None = None
    """Tokens that one attends to at most; None where the configuration sets no limit."""


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
    lowered: bool = True
    """False for products that afmc does not lower yet, though their weights could go to tiles."""


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


def expert_name(bank: str, expert: int) -> str:
    """Name in `Tiles` of one expert's layer: ``layers.0.mlp.experts.down_proj[3]``."""
    return f"{bank}[{expert}]"


def names_in_tiles(matrix: Matrix) -> list[str]:
    """Names in `Tiles` of the layers that hold a matrix, by copy."""
    if is_bank(matrix):
        return [expert_name(matrix.name, expert) for expert in range(matrix.copies)]
    return [matrix.name]


# Layers that compute x @ W + b and nothing else, so that a tile can stand in for them.
REPLACEABLE = (
    "torch.nn.modules.linear.Linear",
    "transformers.pytorch_utils.Conv1D",
    "transformers.models.falcon.modeling_falcon.FalconLinear",
)


# Products of a bank of experts with tokens that are sorted by expert.
GROUPED = ("transformers.grouped_mm_fallback.default", "aten._grouped_mm.default")


def is_bank(matrix: Matrix) -> bool:
    """Whether it is a bank of experts in a module as transformers has them, which are all alike."""
    return matrix.operation in GROUPED and matrix.layer.startswith("transformers.models.")


def fits_tiles(matrix: Matrix) -> bool:
    """Whether tiles can do what the model does with it."""
    return matrix.layer in REPLACEABLE or is_bank(matrix)


def names_of(matrix: Matrix) -> Iterable[str]:
    """What a pattern may call it."""
    parts = (matrix.module, matrix.name) if is_bank(matrix) else (matrix.module,)
    return (matrix.module, *(part.rsplit(".", 1)[-1] for part in parts), matrix.name)


def matches(matrix: Matrix, pattern: str) -> bool:
    """Whether a pattern of `Partition.digital` is about this matrix."""
    return any(fnmatchcase(name, pattern) for name in names_of(matrix))
