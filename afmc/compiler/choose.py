"""The measured choice of -O3: which matrices are digital, and which are there several times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from torch import Tensor

from afmc.common.version import VERSION
from afmc.compiler.context import Context
from afmc.compiler.copies import (
    asked_for,
    start_without,
    with_choice_of_copies,
    without_copies,
)
from afmc.compiler.corrections import macs_of, mean_only, minded_by, readers_on
from afmc.compiler.recorded import did, left, rounded
from afmc.compiler.seen import EXPERTS, see_activations
from afmc.compiler.steps import mapped
from afmc.lower.on_tiles import LoweredGraph, OnTiles
from afmc.passes.averaging import check_budget
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.recovery.clipping import DESIGN_CHIP
from afmc.recovery.divergence import divergences, together
from afmc.recovery.measured import Measured
from afmc.recovery.ranks import Reader, choose_ranks
from afmc.simulator.replicas import replicas_of

CHIPS = 2
"""On which every matrix is measured, the same for all."""

TOKENS = 512
_LEAST = 0.1
"""Share of the predicted divergence up to which matrices are not measured."""
_OFF = "it was switched off"


@dataclass(frozen=True)
class _OnTiles:
    """The program with every matrix once on tiles, and what was found of it there."""

    program: Program
    readers: Sequence[Reader]
    """What correcting each matrix is worth."""
    divergences: Mapping[str, float]
    """By matrix: what it costs on tiles by itself."""
    scales: Mapping[str, float]
    """By matrix: that over what sensitivities predict."""
    measured: int
    """Matrices that were measured; the others are predicted."""


def with_choice(start: Program, context: Context) -> Program:
    """The program before its passes, with what was measured of each matrix and what follows from
    that: matrices that stay digital, and in the passes of `context`, copies."""
    checked, recovery = context.checked, start.recovery
    if recovery is None or recovery.level < 3 or context.shapes_only:
        return start
    if not checked.target.is_random and not checked.target.needs_input_range:
        return start
    if context.loaded.on_disk is not None:
        reason = "weights stay on disk, and matrices are measured on a chip that needs them all"
        return start_without(start, checked.passes, reason)
    if not context.observed.possible:
        reason = "there is no text or sample to measure on"
        return start_without(start, checked.passes, reason)
    see_activations(start, context)
    found = _on_tiles(start, context)
    context.scales = found.scales
    recovery = replace(recovery, divergences=found.divergences)
    recovery = _with_digital(recovery, found, context)
    off = "copies" in checked.without
    recovery, passes = with_choice_of_copies(
        recovery, found.program, checked.target, checked.passes, off
    )
    context.checked = replace(checked, passes=passes)
    return replace(start, recovery=recovery)


def _on_tiles(start: Program, context: Context) -> _OnTiles:
    """What each matrix costs on tiles by itself, and what that says of errors."""
    checked, seen = context.checked, context.seen
    assert seen is not None
    alone = replace(checked, passes=without_copies(checked.passes))
    program = mapped(start, replace(context, checked=alone))
    crossbars = asked_for(checked.passes)
    if crossbars is not None:
        check_budget(crossbars, len(program.blocks))
    program = replace(program, recovery=mean_only(program, context))
    recovered = replace(
        context.recovered,
        directions={name: each.first(0) for name, each in seen.directions.items()},
    )
    lowered = LoweredGraph(context.loaded, program, context.observed.prefix)
    on_tiles = OnTiles(program, checked.target, context.loaded, lowered, recovered)
    with context.clock.stage("choice"):
        minded = minded_by(program, context)
        on_tiles.write(instance=DESIGN_CHIP)
        readers = tuple(readers_on(on_tiles, context, minded))
        predicted = _predicted(on_tiles, context, minded)
        costs = _measured(on_tiles, context, _first(program, predicted))
        measured = len(costs)
        shared = [name for name in costs if name in predicted]
        ratio = sum(costs[n] for n in shared) / (sum(predicted[n] for n in shared) or 1.0)
        costs = {name: predicted[name] * ratio for name in predicted} | costs
    scales = {name: costs[name] / each for name, each in predicted.items() if each}
    costs = {matrix.name: rounded(costs[matrix.name]) for matrix in program.analog}
    return _OnTiles(program, readers, costs, scales, measured)


def _first(program: Program, predicted: Mapping[str, float]) -> list[str]:
    """Matrices that are measured, the dearest first: those of which nothing is predicted, and of
    the others all but the least, which cost `_LEAST` of the whole together."""
    whole, left = sum(predicted.values()), 0.0
    names = sorted(
        (matrix.name for matrix in program.analog),
        key=lambda name: predicted.get(name, inf),
        reverse=True,
    )
    while names and left + predicted.get(names[-1], inf) <= _LEAST * whole:
        left += predicted[names.pop()]
    return names


def _measured(on_tiles: OnTiles, context: Context, names: list[str]) -> dict[str, float]:
    """What each of these matrices costs, as the mean over chips."""
    layers = {name: names_in_tiles(on_tiles.program.by_name[name]) for name in names}
    windows = context.observed.batches(TOKENS)
    of_chips, key = [], _key(on_tiles.program, context)
    for number in range(CHIPS):
        kept = Measured("divergences", *key, number)
        of_chips.append(kept)
        if layers.keys() <= kept.figures.keys():
            continue
        on_tiles.write(instance=DESIGN_CHIP + number)
        found = divergences(on_tiles.analog, on_tiles.tiles, layers, windows, kept.figures)
        for done, (name, value) in enumerate(found, start=1):
            kept[name] = value
            context.progress("choice", number * len(layers) + done, CHIPS * len(layers))
    return {name: sum(each.figures[name] for each in of_chips) / CHIPS for name in names}


def _key(program: Program, context: Context) -> tuple[object, ...]:
    """Everything that a measurement depends on."""
    return (
        VERSION,
        program.model.sha256,
        context.checked.target.model_dump_json(),
        context.observed.sha256,
        TOKENS,
        program.recovery,
        program.matrices,
        *(hashlib.sha256(t.tobytes()).hexdigest() for t in (program.blocks, program.placements)),
    )


def _predicted(
    on_tiles: OnTiles, context: Context, minded: Mapping[str, Tensor]
) -> dict[str, float]:
    """What each matrix costs by its errors on the chip that is written and the sensitivities."""
    assert context.seen is not None
    found = {}
    for matrix in on_tiles.program.analog:
        if matrix.input not in context.seen.samples or matrix.name not in minded:
            continue
        x, stands_for = context.seen.samples[matrix.input]
        predicted, names = 0.0, names_in_tiles(matrix)[:EXPERTS]
        for name in names:
            layer = replicas_of(on_tiles.tiles[name])[0]
            square = (layer.multiply(x) - layer.wanted(x)).square() @ minded[matrix.name]
            predicted += float(stands_for @ square / stands_for.sum()) / 2 / len(names)
        found[matrix.name] = predicted * matrix.per_token
    return found


def _with_digital(recovery: Recovery, found: _OnTiles, context: Context) -> Recovery:
    program, total = found.program, sum(found.divergences.values())
    if "digital" in context.checked.without:
        return left(recovery, "digital", _OFF)
    readers = [_with_whole(each, found) for each in found.readers]
    chosen = choose_ranks(readers, context.checked.digital_budget * macs_of(program))
    names = tuple(m.name for m in program.analog if m.name in chosen.digital)
    if len(names) == len(program.analog):
        names = ()
    share = sum(program.by_name[name].macs_per_token for name in names) / macs_of(program)
    kept = sum(found.divergences[n] for n in names)
    how = f"summed; {found.measured} were measured on {CHIPS} chips, the others predicted"
    figures = {"digital_share": rounded(share), "kl_alone": rounded(kept), "kl_sum": rounded(total)}
    if not names:
        reason = (
            f"directions are worth more for their work; alone, matrices cost {total:.3g} nats, "
            f"{how}"
        )
        return left(recovery, "digital", reason, figures)
    said = (
        f"{len(names)} of {len(program.analog)} matrices, {share:.2%} of the multiply-accumulates, "
        f"which alone cost {kept:.3g} of {total:.3g} nats, {how}"
    )
    return replace(did(recovery, "digital", said, figures), digital=names)


def _with_whole(reader: Reader, found: _OnTiles) -> Reader:
    """With its directions worth what was measured, and what it is worth as a whole."""
    matrix, whole = found.program.by_name[reader.name], found.divergences[reader.name]
    worth = reader.worth * found.scales.get(reader.name, 1.0)
    total = float(worth.sum())
    if total > whole:
        worth = worth * (whole / total)
    return replace(reader, worth=worth, whole=(matrix.macs_per_token, whole))


def with_all_together(program: Program, context: Context) -> Program:
    """The program with what everything that was chosen costs at once, where that was measured of
    each matrix: on other chips, and beside it what was expected."""
    recovery = program.recovery
    if recovery is None or not recovery.divergences:
        return program
    lowered = LoweredGraph(context.loaded, program, context.observed.prefix)
    target = context.checked.target
    on_tiles = OnTiles(program, target, context.loaded, lowered, context.recovered)
    windows, found = context.observed.batches(TOKENS), []
    context.progress("together", 0, CHIPS)
    with context.clock.stage("choice"):
        for number in range(CHIPS):
            on_tiles.write(instance=DESIGN_CHIP + CHIPS + number)
            found.append(together(on_tiles.analog, on_tiles.tiles, windows))
            context.progress("together", number + 1, CHIPS)
    expected = max(0.0, _alone(program, recovery.divergences) - _removed(recovery))
    recovery = replace(
        recovery, predicted=rounded(expected), together=rounded(sum(found) / len(found))
    )
    return replace(program, recovery=recovery)


def _alone(program: Program, divergences: Mapping[str, float]) -> float:
    """What matrices on tiles cost by themselves, as the mean of their copies, summed."""
    return sum(
        divergences[name] * group.mean_share for group in program.groups for name in group.members
    )


def _removed(recovery: Recovery) -> float:
    """What corrections in directions are expected to take away."""
    found = (step.figures.get("predicted_kl_removed", 0.0) for step in recovery.steps)
    return float(sum(found))
