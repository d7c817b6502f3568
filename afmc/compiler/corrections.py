"""Corrections as a step of a compile: what is measured on each chip and taken back digitally."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from afmc.compiler.context import Context
from afmc.compiler.observe import reader_of
from afmc.compiler.recorded import did, left, rounded
from afmc.compiler.seen import EXPERTS, see_activations
from afmc.lower.on_tiles import LoweredGraph, OnTiles
from afmc.lower.recovered import Recovered
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.recovery.clipping import DESIGN_CHIP
from afmc.recovery.ranks import Chosen, Reader, choose_ranks
from afmc.recovery.sensitivity import NoGradients, by_size, sensitivities
from afmc.recovery.spectrum import MOST_DIRECTIONS
from afmc.simulator.directions import Directions
from afmc.simulator.replicas import replicas_of

READS = 16
"""Reads of every tile for each direction that is corrected."""

_SENSITIVITY_TOKENS = 2048


def with_corrections(program: Program, context: Context) -> Program:
    """The program with what is corrected on each chip: the mean error of every output, -O1, which
    takes no multiply-accumulates, and errors along principal directions, -O2."""
    recovery, checked = program.recovery, context.checked
    exact = not checked.target.is_random and not checked.target.needs_input_range
    if recovery is None or exact:
        return program
    if "correction" in checked.without:
        return replace(program, recovery=left(recovery, "correction", "it was switched off"))
    if context.shapes_only:
        return _as_if_corrected(program, context)
    if not context.observed.possible:
        return program
    see_activations(program, context)
    reason = None
    if "directions" in checked.without:
        reason = "they were switched off"
    elif context.loaded.on_disk is not None:
        reason = "weights stay on disk, and a chip on which directions are chosen needs them all"
    if recovery.level > 1 and reason is not None:
        program = replace(program, recovery=left(recovery, "directions", reason))
    if recovery.level == 1 or reason is not None:
        nothing = Chosen(_no_directions(program, context), frozenset(), 0.0, 0.0, 0.0)
        return _corrected(program, context, nothing)
    context.progress("correction", 0, 0)
    minded = minded_by(program, context)
    with context.clock.stage("correction"):
        lowered = LoweredGraph(context.loaded, program)
        on_tiles = OnTiles(program, checked.target, context.loaded, lowered, Recovered())
        on_tiles.write(instance=DESIGN_CHIP)
        readers = [
            _as_measured(each, program, context) for each in readers_on(on_tiles, context, minded)
        ]
        digital = sum(program.by_name[name].macs_per_token for name in recovery.digital)
        chosen = choose_ranks(readers, checked.digital_budget * macs_of(program) - digital)
    return _corrected(program, context, chosen)


def _as_measured(reader: Reader, program: Program, context: Context) -> Reader:
    """What its directions are worth by what was measured of the matrix, where that was."""
    share = next(g.mean_share for g in program.groups if reader.name in g.members)
    return replace(reader, worth=reader.worth * context.scales.get(reader.name, 1.0) * share)


def mean_only(program: Program, context: Context) -> Recovery:
    """The recovery with corrections of the mean error alone."""
    assert program.recovery is not None
    return replace(program.recovery, ranks=_no_directions(program, context), reads=READS)


def _corrected(program: Program, context: Context, chosen: Chosen) -> Program:
    assert context.seen is not None and program.recovery is not None
    inputs = {name: program.by_name[name].input for name in chosen.ranks}
    most = {
        name: max(rank for matrix, rank in chosen.ranks.items() if inputs[matrix] == name)
        for name in dict.fromkeys(inputs.values())
    }
    kept = {name: context.seen.directions[name].first(count) for name, count in most.items()}
    context.recovered = replace(context.recovered, directions=kept)
    share = chosen.macs / macs_of(program)
    said = (
        f"the mean error of {len(inputs)} matrices and {sum(chosen.ranks.values())} directions, "
        f"with {READS} reads each on every chip: {share:.2%} of the multiply-accumulates"
    )
    figures = {
        "digital_budget": context.checked.digital_budget if chosen.macs else 0.0,
        "digital_share": rounded(share),
        "predicted_kl_removed": rounded(chosen.worth),
        "predicted_kl_bound": rounded(chosen.bound),
    }
    recovery = did(program.recovery, "correction", said, figures)
    return replace(program, recovery=replace(recovery, ranks=chosen.ranks, reads=READS))


def _as_if_corrected(program: Program, context: Context) -> Program:
    """The program with equally many directions for every matrix, where no weights are known."""
    recovery, budget = program.recovery, 0.0
    assert recovery is not None
    if recovery.level > 1 and "directions" not in context.checked.without:
        budget = context.checked.digital_budget
    widest = {m.input: m.per_token * m.rows for m in program.analog}
    each = sum(widest.values()) + sum(m.per_token * m.cols for m in program.analog)
    rank = min(MOST_DIRECTIONS, int(budget * macs_of(program) / each)) if each else 0
    ranks = {m.name: min(rank, m.rows) for m in program.analog}
    said = f"the mean error of {len(ranks)} matrices"
    if budget:
        said += (
            f" and, counted without weights, {rank} directions of each, as many as the budget of "
            f"{budget:.1%} allows for all alike"
        )
    recovery = did(recovery, "correction", said, {"digital_budget": budget})
    return replace(program, recovery=replace(recovery, ranks=ranks, reads=READS))


def _no_directions(program: Program, context: Context) -> dict[str, int]:
    assert context.seen is not None
    return {m.name: 0 for m in program.analog if m.input in context.seen.directions}


def macs_of(program: Program) -> float:
    """Multiply-accumulates of all matrices, for one token."""
    return sum(matrix.macs_per_token for matrix in program.matrices)


def minded_by(program: Program, context: Context) -> Mapping[str, Tensor]:
    """How much the model minds an error of each output of each matrix, looked at once."""
    if context.minded is None:
        with context.clock.stage("sensitivity"):
            products = {m.name: reader_of(m) for m in program.analog}
            windows = context.observed.batches(_SENSITIVITY_TOKENS)
            module = context.observed.module(program)
            try:
                context.minded = sensitivities(module, products, windows)
            except NoGradients:
                context.minded = by_size(module, products, windows)
    return context.minded


def readers_on(
    on_tiles: OnTiles, context: Context, minded: Mapping[str, Tensor]
) -> Iterator[Reader]:
    """What correcting each matrix is worth, on the chip that is written."""
    program = on_tiles.program
    assert context.seen is not None
    for matrix in program.analog:
        directions = context.seen.directions.get(matrix.input)
        if directions is None or not len(directions) or matrix.name not in minded:
            continue
        worth = np.zeros(len(directions))
        names = names_in_tiles(matrix)[:EXPERTS]
        for name in names:
            layer = replicas_of(on_tiles.tiles[name])[0]
            generator = torch.Generator().manual_seed(0)
            errors = layer.measure_errors(directions, READS, generator)
            worth += _worth(directions, errors.slope, minded[matrix.name]) / len(names)
        yield Reader(
            matrix.name,
            matrix.input,
            project=matrix.per_token * matrix.rows,
            add=matrix.per_token * matrix.cols,
            worth=worth * matrix.per_token,
        )


def _worth(directions: Directions, errors: Tensor, minded: Tensor) -> np.ndarray:
    """KL divergence of a use that each direction's error costs, [directions]."""
    return (0.5 * directions.energy * (errors.square() @ minded)).double().numpy()
