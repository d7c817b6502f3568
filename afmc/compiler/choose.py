"""The measured choice of -O3: which matrices are digital, and which are there several times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from math import inf

from torch import Tensor

from afmc.common.version import VERSION
from afmc.compiler.context import Context
from afmc.compiler.corrections import macs_of, mean_only, minded_by, readers_on
from afmc.compiler.pipeline import configure
from afmc.compiler.recorded import did, left, rounded
from afmc.compiler.seen import EXPERTS, see_activations
from afmc.compiler.steps import mapped
from afmc.lower.on_tiles import LoweredGraph, OnTiles
from afmc.passes import Pass, options_of
from afmc.program.limits import alive
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.recovery.clipping import DESIGN_CHIP
from afmc.recovery.divergence import divergences
from afmc.recovery.measured import Measured
from afmc.recovery.ranks import Reader, choose_ranks
from afmc.simulator.replicas import replicas_of

CHIPS = 2
"""On which every matrix is measured, the same for all."""

TOKENS = 512
_LEAST = 0.1
"""Share of the predicted divergence up to which matrices are not measured."""
_OFF = "it was switched off"


def with_choice(start: Program, context: Context) -> Program:
    """The program before its passes, with what was measured of each matrix and what follows from
    that: matrices that stay digital, and in the passes of `context`, copies."""
    checked, recovery = context.checked, start.recovery
    if recovery is None or recovery.level < 3 or context.shapes_only:
        return start
    if not checked.target.is_random and not checked.target.needs_input_range:
        return start
    reason = None
    if context.loaded.on_disk is not None:
        reason = "weights stay on disk, and matrices are measured on a chip that needs them all"
    elif not context.observed.possible:
        reason = "there is no text or sample to measure on"
    if reason is not None:
        return replace(start, recovery=left(recovery, "digital", reason))
    see_activations(start, context)
    chosen = _with_digital(_with_divergences(start, context), context)
    return _with_copies(chosen, context)


def _with_divergences(start: Program, context: Context) -> Program:
    """The program with what each matrix costs on tiles by itself, and what that says of errors."""
    checked, seen = context.checked, context.seen
    assert seen is not None and start.recovery is not None
    alone = replace(checked, passes=_without_copies(checked.passes))
    program = mapped(start, replace(context, checked=alone))
    program = replace(program, recovery=mean_only(program, context))
    context.once = program
    recovered = replace(
        context.recovered,
        directions={name: each.first(0) for name, each in seen.directions.items()},
    )
    lowered = LoweredGraph(context.loaded, program, context.exported, context.observed.prefix)
    on_tiles = OnTiles(program, checked.target, context.loaded, lowered, recovered)
    with context.clock.stage("choice"):
        minded = minded_by(program, context)
        on_tiles.write(instance=DESIGN_CHIP)
        context.readers = tuple(readers_on(on_tiles, context, minded))
        predicted = _predicted(on_tiles, context, minded)
        costs = _measured(on_tiles, context, _first(program, predicted))
        context.measured = len(costs)
        shared = [name for name in costs if name in predicted]
        ratio = sum(costs[n] for n in shared) / (sum(predicted[n] for n in shared) or 1.0)
        costs = {name: predicted[name] * ratio for name in predicted} | costs
        context.scales = {name: costs[name] / each for name, each in predicted.items() if each}
    costs = {matrix.name: rounded(costs[matrix.name]) for matrix in program.analog}
    return replace(start, recovery=replace(start.recovery, divergences=costs))


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
    of_chips = []
    for number in range(CHIPS):
        kept = Measured("divergences", *_key(on_tiles.program, context), number)
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


def _with_digital(start: Program, context: Context) -> Program:
    recovery, program = start.recovery, context.once
    assert recovery is not None and program is not None
    if "digital" in context.checked.without:
        return replace(start, recovery=left(recovery, "digital", _OFF))
    readers = [_with_whole(each, program, context, recovery) for each in context.readers]
    budget = context.checked.digital_budget * macs_of(program)
    chosen = choose_ranks(readers, budget)
    names = tuple(m.name for m in program.analog if m.name in chosen.digital)
    if len(names) == len(program.analog):
        names = ()
    share = sum(program.by_name[name].macs_per_token for name in names) / macs_of(program)
    total, kept = sum(recovery.divergences.values()), sum(recovery.divergences[n] for n in names)
    said = (
        f"{len(names)} of {len(program.analog)} matrices, {share:.2%} of the multiply-accumulates, "
        f"which alone cost {kept:.3g} of {total:.3g} nats, summed; {context.measured} were "
        f"measured on {CHIPS} chips, the others predicted"
    )
    figures = {"digital_share": rounded(share), "kl_alone": rounded(kept), "kl_sum": rounded(total)}
    if not names:
        reason = (
            f"directions are worth more for their work; alone, matrices cost {total:.3g} nats, "
            f"summed; {context.measured} were measured on {CHIPS} chips, the others predicted"
        )
        return replace(start, recovery=left(recovery, "digital", reason, figures))
    return replace(start, recovery=replace(did(recovery, "digital", said, figures), digital=names))


def _with_whole(reader: Reader, program: Program, context: Context, recovery: Recovery) -> Reader:
    """With its directions worth what was measured, and what it is worth as a whole."""
    matrix, whole = program.by_name[reader.name], recovery.divergences[reader.name]
    worth = reader.worth * context.scales.get(reader.name, 1.0)
    total = float(worth.sum())
    if total > whole:
        worth = worth * (whole / total)
    return replace(reader, worth=worth, whole=(matrix.macs_per_token, whole))


def _with_copies(start: Program, context: Context) -> Program:
    """The program, and in the context passes that fill spare crossbars with copies."""
    checked, recovery, program = context.checked, start.recovery, context.once
    assert recovery is not None and program is not None and program.placing is not None
    copying = next((options_of(each) for each in checked.passes if _copies(each)), None)
    given = copying and copying["tiles"]
    reason, budget = None, given or 0
    if "copies" in checked.without:
        reason = _OFF
    elif copying is None:
        reason = "none of the passes replicates"
    elif given is not None:
        if copying["objective"] != "accuracy":
            reason = "replicate.tiles was given for another purpose"
    elif program.allocation is not None and program.allocation.rule != "exclusive":
        reason = "blocks share tiles, so that what is spare follows from the packing: give --tiles"
    else:
        budget, _ = alive(program, checked.target, program.placing.chips)
    if reason is not None:
        return replace(start, recovery=left(recovery, "copies", reason))
    settings = {"replicate.tiles": budget, "replicate.objective": "accuracy"}
    context.checked = replace(checked, passes=tuple(configure(list(checked.passes), settings)))
    said = f"on up to {budget:,} crossbars"
    if given is None:
        said += f", those of the {program.placing.chips} chips that are needed anyway"
    return replace(start, recovery=did(recovery, "copies", said, {"crossbars": budget}))


def _copies(step: Pass) -> bool:
    return {"tiles", "objective"} <= options_of(step).keys()


def _without_copies(passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
    copying = any(_copies(each) for each in passes)
    return tuple(configure(list(passes), {"replicate.tiles": None})) if copying else passes
