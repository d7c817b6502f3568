"""What a model does on a text or on samples, before it is on tiles, and what follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from afmc.common.progress import Progress
from afmc.compiler.activations import Prepare, look_at, mean_squares, sizes_of_inputs
from afmc.compiler.calibration import Method
from afmc.compiler.full_scale import distributions, input_ranges
from afmc.compiler.repair import repair as repair_cells
from afmc.data.samples import Samples
from afmc.data.text import Text, read_text
from afmc.data.tokens import begin_of, check_known, tokenise, windows_of
from afmc.errors import ModelError, SampleError, TextError
from afmc.frontends.loaded import Loaded, longest_window
from afmc.frontends.network import tensors_of
from afmc.lower.module import bank_path, grouped
from afmc.lower.prefix import Prefix, put_behind
from afmc.lower.prepared import preparations
from afmc.lower.watch import Given
from afmc.lower.weights import IdealWeights
from afmc.program.compiled import CompiledProgram
from afmc.program.model import Matrix, fits_tiles, is_bank
from afmc.program.observed import Calibration, Distributions, Routing
from afmc.program.program import Program, RepairMethod
from afmc.targets import Target

ROUTED_TOKENS = 4096
"""Most tokens of the calibration text whose experts a program keeps."""

_SAMPLES = 256
"""Samples at once, where the model takes any number."""


_REPAIR_TOKENS = 1024
"""On which the mean square of every input is measured."""

_SEEN_TOKENS = 1024
"""On which the sizes of every input are counted."""


@dataclass(frozen=True)
class Observed:
    """A model, and what it is run on before it is on tiles: a text, or samples."""

    loaded: Loaded
    text: Text | None
    samples: Samples | None
    prefix: Prefix | None = None
    """What stands before every window."""

    @cached_property
    def source(self) -> Text:
        return self.text or read_text(None, "calibration", self.loaded.name)

    def module(self, program: Program) -> nn.Module:
        """The model with its banks of experts as modules of their own, ready to be run."""
        loaded = self.loaded
        module = loaded.running(grouped(loaded.module, program.matrices, {}, loaded.bank))
        return module if self.prefix is None else put_behind(module, self.prefix)

    @property
    def possible(self) -> bool:
        of_text = self.loaded.graph is None and self.loaded.tokenizer is not None
        return of_text or self.samples is not None

    @property
    def name(self) -> str:
        return self.source.name if self.samples is None else self.samples.name

    @property
    def sha256(self) -> str:
        if self.loaded.graph is None:
            return self.source.sha256
        return "" if self.samples is None else self.samples.sha256

    def batches(self, count: int) -> Sequence[Given]:
        """So many tokens of a text, or samples; what the model takes, one batch after the other.

        Raises ModelError where there is nothing to see.
        """
        if self.loaded.graph is None:
            return self._windows(count)
        if self.samples is None:
            raise ModelError(
                f"{self.loaded.name} has no samples to calibrate its input ranges on: give some "
                f"with --data FILE.npz (example_inputs=...)."
            )
        batch = self.loaded.graph.batch
        parts = list(self.samples.first(max(count, batch or 1)).batches(batch or _SAMPLES))
        whole = [each for each in parts if batch in (None, len(each))]
        if not whole:
            raise SampleError(
                f"{self.samples.name} has {len(self.samples)} samples, but {self.loaded.name} "
                f"takes {batch} at once."
            )
        return list(map(tensors_of, whole))

    def _windows(self, tokens: int) -> list[torch.Tensor]:
        """So many tokens of a text, in windows as long as possible."""
        if self.loaded.tokenizer is None:
            raise ModelError(
                f"{self.loaded.name} has no tokenizer, so its input ranges cannot be calibrated on "
                f"text; save one beside the model or pass tokenizer=..."
            )
        ids = tokenise(self.loaded.tokenizer, self.source.content, tokens)
        check_known(ids, self.loaded.config)
        window = min(len(ids), longest_window(self.loaded.config))
        if window < 2:
            raise TextError(f"the text {self.source.name} is too short to calibrate on.")
        begin = () if self.prefix else begin_of(self.loaded.tokenizer)
        return windows_of(ids, window, begin if window > 2 * len(begin) else ())


def calibrate(
    program: Program,
    observed: Observed,
    method: Method,
    count: int,
    ranges: bool,
    progress: Progress,
) -> Program:
    """With the input ranges, where they are wanted, and where the routers send the text."""
    batches = observed.batches(count)
    readers = readers_of(program) if ranges else {}
    banks = filter(is_bank, program.matrices if program.routing is None else ())
    experts = list(dict.fromkeys(bank.module for bank in banks))
    language = observed.loaded.graph is None
    total = count_of(batches)
    seen = look_at(
        observed.module(program),
        readers,
        experts,
        batches,
        method,
        lambda done: progress("calibrate", done if language else 0, total),
        _preparing(program),
    )

    def with_range(matrix: Matrix) -> Matrix:
        found = seen.ranges.get(matrix.input)
        known = matrix.input_range is not None or not found
        return matrix if known else replace(matrix, input_range=found)

    used = Calibration(str(method), observed.name, observed.sha256, total)
    return replace(
        program,
        matrices=tuple(with_range(m) for m in program.matrices),
        calibration=used if ranges else None,
        routing=_routing_of(seen.experts, observed.source) if experts else program.routing,
    )


def _preparing(program: Program) -> Prepare:
    """What converters are given of each activation."""
    by_matrix = preparations(program)
    prepared = {matrix.input: by_matrix[matrix.name] for matrix in program.matrices}
    return lambda name, x: prepared[name].inputs(x)


def _routing_of(experts: Mapping[str, NDArray[np.int32]], text: Text) -> Routing:
    kept = {path: table[:ROUTED_TOKENS] for path, table in experts.items()}
    return Routing(f"{len(next(iter(kept.values()))):,} tokens of {text.name}", kept)


def needs_ranges(program: Program, target: Target) -> bool:
    return target.needs_input_range and any(m.input_range is None for m in to_calibrate(program))


def check_ranges(program: Program) -> None:
    for matrix in to_calibrate(program):
        if not matrix.input_range:
            assert program.calibration is not None
            raise ModelError(
                f"the input of {matrix.module} is zero over {program.calibration.text}, by "
                f"{program.calibration.method}; calibrate on more or by another method."
            )


def with_distributions(
    program: Program, target: Target, observed: Observed, progress: Progress
) -> Program:
    """With how weights make use of full scale, and inputs where there are ranges to see."""
    progress("distributions", 0, 0)
    weights = IdealWeights(observed.loaded, program)
    ranges = input_ranges(program, target) if target.needs_input_range else {}
    if not observed.possible or not ranges:
        found = distributions(program, target, weights, {})
        return replace(program, distributions=Distributions("", "", 0, found))
    batches = observed.batches(_SEEN_TOKENS)
    readers = {m.drive: reader_of(m) for m in to_calibrate(program) if m.drive in ranges}
    sizes = sizes_of_inputs(
        observed.module(program), readers, ranges, batches, prepare=_preparing(program)
    )
    found = distributions(program, target, weights, sizes)
    used = Distributions(observed.name, observed.sha256, count_of(batches), found)
    return replace(program, distributions=used)


def with_repair(
    program: Program,
    target: Target,
    observed: Observed,
    methods: Sequence[RepairMethod],
    kept: CompiledProgram | None,
    progress: Progress,
) -> Program:
    """Orders the lines of crossbars with stuck cells, by how large the inputs are on a text."""
    progress("repair", 0, 0)
    squares, name = {}, ""
    if observed.possible and "permute" in methods:
        inputs = observed.batches(_REPAIR_TOKENS)
        squares = mean_squares(
            observed.module(program), readers_of(program), inputs, prepare=_preparing(program)
        )
        name = observed.name
    earlier = None if kept is None else kept.program
    weights = IdealWeights(observed.loaded, program)
    return repair_cells(program, target, weights, methods, squares, name, earlier)


def to_calibrate(program: Program) -> list[Matrix]:
    """The matrices whose layers a tile can stand in for: their input is what the layer is given."""
    return [matrix for matrix in program.matrices if fits_tiles(matrix)]


def readers_of(program: Program) -> dict[str, str]:
    """The path in `lower.grouped` of a module that reads it, by activation."""
    readers: dict[str, str] = {}
    for matrix in to_calibrate(program):
        readers.setdefault(matrix.input, reader_of(matrix))
    return readers


def reader_of(matrix: Matrix) -> str:
    """The path in `lower.grouped` of the module that multiplies by it."""
    return bank_path(matrix) if is_bank(matrix) else matrix.module


def count_of(batches: Iterable[Given]) -> int:
    """Samples, or tokens."""
    return sum(len(each[0]) if isinstance(each, tuple) else each.numel() for each in batches)
