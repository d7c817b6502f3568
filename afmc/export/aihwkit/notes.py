"""What afmc models and AIHWKIT's torch simulator does not, or otherwise, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from afmc.program.compiled import CompiledProgram
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.targets import Target

if TYPE_CHECKING:
    from afmc.export.aihwkit.layers import Layer


def notes_on(
    kept: CompiledProgram, layers: Sequence[Layer], elsewhere: Sequence[Matrix]
) -> tuple[str, ...]:
    """Notes on a mapping; those on its devices are with their model."""
    program, target = kept.program, kept.target
    return (
        *_of_layers(program, target, layers, elsewhere),
        *_of_converters(target),
        *_of_arrays(program, target),
        *_of_training(program),
    )


def _of_layers(
    program: Program, target: Target, layers: Sequence[Layer], elsewhere: Sequence[Matrix]
) -> Iterator[str]:
    if elsewhere:
        yield (
            f"{_matrices(len(elsewhere))} on tiles here and not in AIHWKIT, which has no layer for "
            f"them, the first {elsewhere[0].name}"
        )
    cut = [layer for layer in layers if not layer.rows_alike]
    if cut:
        yield (
            f"AIHWKIT cuts the rows of {_layers(len(cut))} into as many pieces, but all of nearly "
            f"equal size, the first {cut[0].path} (compile with --set split.style=balanced for "
            f"the same cuts)"
        )
    across = [layer for layer in layers if not layer.cols_alike]
    by_tile = "tile" in (target.output.range, target.device.scale)
    if across and by_tile:
        yield (
            f"AIHWKIT cuts the columns of {_layers(len(across))} elsewhere, on which the largest "
            f"weight of a tile depends, the first {across[0].path}"
        )
    if by_tile and _shares_tiles(program):
        yield (
            "the largest weight of a tile is that of all matrices that share it here "
            "(--set merge.enabled=false --set allocate.rule=exclusive for tiles of one matrix)"
        )
    if target.needs_input_range and not all(layer.ranges for layer in layers):
        yield (
            "there are no input ranges in a compile of shapes only: AIHWKIT takes the largest "
            "value of each input vector"
        )
    replicas = sum(sum(group.replicas) > group.copies for group in program.groups)
    if replicas:
        yield (
            f"weights that are there several times here, for {replicas:,} groups of matrices, are "
            f"there once in AIHWKIT{', without the mean over them' * program.averaged}"
        )


def _shares_tiles(program: Program) -> bool:
    places = program.placements[["chip", "tile", "tier"]]
    several = any(len(group.members) > 1 for group in program.groups)
    return several or len(np.unique(places)) < len(places)


def _of_converters(target: Target) -> Iterator[str]:
    given, output = target.input, target.output
    if given.encoding == "bit_serial":
        yield (
            f"inputs go in digits of {given.slice_bits} bits with a conversion each (input."
            f"encoding); AIHWKIT converts whole products"
        )
    if given.steps is None and output.steps is not None:
        yield "inputs beyond the range are not clipped here (input.bits is not given), but there"
    if target.tile.read_phases > 1:
        yield (
            f"a product takes {target.tile.read_phases} conversions here, of each sign apart "
            f"(tile.read_phases), in AIHWKIT one"
        )
    if target.crossbar.active_rows and target.crossbar.active_rows < target.crossbar.rows:
        yield (
            f"{target.crossbar.active_rows} rows are driven and converted at a time here "
            f"(crossbar.active_rows), in AIHWKIT all rows of a tile"
        )
    errors = [
        f"output.{key}"
        for key in ("gain_std", "offset_std_steps", "inl_steps")
        if getattr(output, key)
    ]
    if errors:
        yield f"errors of the output converters are left out ({', '.join(errors)})"
    if output.steps and output.range != target.device.scale:
        yield (
            f"conductances are scaled over a {target.device.scale} here (device.scale), in AIHWKIT "
            f"over a {output.range}, as the output converters are (output.range)"
        )


def _of_arrays(program: Program, target: Target) -> Iterator[str]:
    crossbar, device = target.crossbar, target.device
    if crossbar.wire_row_ohm or crossbar.wire_column_ohm:
        yield "wires have no resistance there (crossbar.wire_row_ohm, crossbar.wire_column_ohm)"
    if target.reads_noise:
        yield "thermal and shot noise of reads is left out"
    if device.stuck_off_rate or device.stuck_on_rate:
        yield "no cells are stuck there (device.stuck_off_rate, device.stuck_on_rate)"
    if program.defects is not None:
        yield f"nothing is broken there; this was compiled for {program.defects.name}"
    if device.compensation == "reference":
        yield (
            "drift is corrected from a reference column here (device.compensation), in AIHWKIT by "
            "a factor for each tile"
        )
    if device.noise is not None:
        yield "it is always 25 degrees Celsius there"


def _of_training(program: Program) -> Iterator[str]:
    training = program.training
    if training is None:
        return
    if training.clip in ("column", "learned"):
        yield (
            "weights were clipped by column in training, as they are now; AIHWKIT has no such clip "
            "to train on with"
        )
    if training.weight_steps is not None:
        yield "weights were quantised in training, as they are now; AIHWKIT leaves them as they are"


def _matrices(count: int) -> str:
    return "1 matrix is" if count == 1 else f"{count:,} matrices are"


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count:,} layers"
