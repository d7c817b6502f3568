"""Recovery as steps of a compile: what is done so that the model works on this target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from afmc.compiler.context import Context
from afmc.compiler.observe import Observed, count_of, reader_of, readers_of, to_calibrate
from afmc.data.tokens import begin_of
from afmc.demo import MODELS
from afmc.errors import OptionError
from afmc.lower.on_tiles import LoweredGraph, OnTiles
from afmc.lower.prepared import preparations
from afmc.lower.recovered import Recovered, load_recovered
from afmc.lower.weights import IdealWeights
from afmc.program.folder import RECOVERY
from afmc.program.model import Matrix, is_bank, names_in_tiles
from afmc.program.observed import Calibration
from afmc.program.program import Program
from afmc.program.recovery import Recovery, RecoveryStep
from afmc.recovery.clipping import DESIGN_CHIP, clip_of
from afmc.recovery.outliers import (
    find_outliers,
    first_token,
    prefix_of,
    tokens_of_prefix,
)
from afmc.recovery.own_text import own_text
from afmc.recovery.ranges import range_of
from afmc.recovery.ranks import Chosen, Reader, choose_ranks
from afmc.recovery.sensitivity import NoGradients, by_size, sensitivities
from afmc.recovery.spectrum import look_at_activations
from afmc.simulator.beforehand import has_wires
from afmc.simulator.directions import Directions
from afmc.simulator.replicas import replicas_of

READS = 16
"""Reads of every tile for each direction that is corrected."""

_OUTLIER_TOKENS = 2048
_SENSITIVITY_TOKENS = 2048
_EXPERTS = 4
"""Experts of a bank whose weights stand for all in choices that are made for the bank."""


def with_exact_steps(program: Program, context: Context) -> Program:
    """The program with its prefix, rotations and limits of weights, -O1."""
    level, loaded = context.checked.options.level, context.loaded
    if level == 0:
        return program
    recovery = Recovery(level, "", "")
    if context.shapes_only:
        return replace(program, recovery=_with_rotations(recovery, program))
    target = context.checked.target
    if not target.is_random and not target.needs_input_range:
        reason = f"{target.name} computes exactly, so that there is nothing to recover"
        return replace(program, recovery=_not(recovery, "prefix", reason))
    context.observed = observed = _with_own_text(context)
    if not observed.possible:
        reason = "there is no text or sample to look at"
        return replace(program, recovery=_not(recovery, "prefix", reason))
    recovery = Recovery(level, observed.name, observed.sha256)
    if any(matrix.input_range is not None for matrix in program.matrices):
        reason = "the model was trained with its own input ranges"
        for name in ("prefix", "rotation", "clipping"):
            recovery = _not(recovery, name, reason)
        return replace(program, recovery=_with_wires(recovery, context))
    if loaded.graph is None:
        context.progress("prefix", 0, 0)
        with context.clock.stage("prefix"):
            recovery = _with_prefix(recovery, program, context)
    recovery = _with_rotations(recovery, program)
    context.progress("clipping", 0, 0)
    with context.clock.stage("clipping"):
        recovery = _with_clips(recovery, program, context)
    return replace(program, recovery=_with_wires(recovery, context))


def as_kept(program: Program, context: Context) -> Program:
    """The program with what an earlier compile recovered, whose chips are corrected alike.

    Raises OptionError where that was at another level.
    """
    kept, level = context.checked.kept, context.checked.options.level
    assert kept is not None
    recovery = kept.compiled.program.recovery
    before = 0 if recovery is None else recovery.level
    if before != level:
        raise OptionError(
            f"--keep {kept.folder}: it was compiled with -O{before}, not -O{level}; compile "
            f"without --keep."
        )
    if recovery is not None:
        context.recovered = load_recovered(kept.folder / RECOVERY, kept.compiled.program)
        observed = _with_own_text(context)
        context.observed = replace(observed, prefix=context.recovered.prefix)
    return replace(program, recovery=recovery)


def _with_wires(recovery: Recovery, context: Context) -> Recovery:
    target = context.checked.target
    if not has_wires(target):
        return _not(recovery, "wires", f"the wires of {target.name} lose nothing")
    said = "weights are written so that they come out behind the wires"
    return replace(_did(recovery, "wires", said), wires=True)


def _with_own_text(context: Context) -> Observed:
    """What the model is looked at on: its own text, unless one was given or comes with it."""
    observed, loaded = context.observed, context.loaded
    first = first_token(loaded.tokenizer, loaded.config)
    given = observed.text is not None or loaded.name in MODELS
    if given or loaded.graph is not None or loaded.tokenizer is None or first is None:
        return observed
    if loaded.on_disk is not None:
        return observed
    context.progress("own text", 0, 0)
    with context.clock.stage("own text"):
        text = own_text(loaded.module, loaded.tokenizer, loaded.sha256, first)
    return observed if text is None else replace(observed, text=text)


def _with_prefix(recovery: Recovery, program: Program, context: Context) -> Recovery:
    observed, loaded = context.observed, context.loaded
    module = observed.module(program)
    windows = [each for each in observed.batches(_OUTLIER_TOKENS) if isinstance(each, Tensor)]
    readers = readers_of(program)
    before = find_outliers(module, readers, windows)
    tokens = tokens_of_prefix(before, first_token(loaded.tokenizer, loaded.config))
    figures = {"largest_before": round(before.largest, 1)}
    if not tokens:
        reason = (
            f"no token is far larger than others (at most {before.largest:.0f} times the median)"
        )
        return _not(recovery, "prefix", reason, figures)
    try:
        text = windows[0][:, len(begin_of(loaded.tokenizer)) :]
        prefix = prefix_of(module, tokens, text[:, :128])
    except ValueError as error:
        return _not(recovery, "prefix", str(error), figures)
    context.observed = replace(observed, prefix=prefix)
    context.recovered = Recovered(prefix)
    after = find_outliers(context.observed.module(program), readers, windows)
    figures["largest_after"] = round(after.largest, 1)
    said = (
        f"{len(tokens)} token{'s' * (len(tokens) > 1)} before every sequence; the largest value of "
        f"a token was {before.largest:,.0f} times the median token's and is {after.largest:,.0f}"
    )
    return replace(_did(recovery, "prefix", said, figures), prefix=tokens)


def _with_rotations(recovery: Recovery, program: Program) -> Recovery:
    folded = program.rewriting.rotated if program.rewriting else frozenset()
    readers = [matrix for matrix in to_calibrate(program) if matrix.name not in folded]
    wanted = list(dict.fromkeys(m.input for m in readers))
    everything = replace(recovery, rotated=tuple(wanted))
    size_of = {m.input: m for m in readers}
    rotated = tuple(each for each in wanted if everything.rotation_of(size_of[each]) is not None)
    sizes = sorted({size_of[each].rows for each in rotated})
    others = sorted({size_of[each].rows for each in wanted if each not in rotated})
    said = f"{len(rotated)} of {len(wanted)} inputs, of {', '.join(map(str, sizes))} values"
    if others:
        said += f"; none of {', '.join(map(str, others))}, whose rotation costs as much as a matrix"
    figures = {"inputs": len(rotated)}
    if folded and not wanted:
        said = "rewrites of the weights hold those of all inputs"
    if not rotated:
        return _not(recovery, "rotation", said, figures)
    return replace(_did(recovery, "rotation", said, figures), rotated=rotated)


def _with_clips(recovery: Recovery, program: Program, context: Context) -> Recovery:
    target = context.checked.target
    if not target.is_random:
        return _not(recovery, "clipping", f"the devices of {target.name} have no noise")
    program = replace(program, recovery=recovery)
    prepared, clips = preparations(program), {}
    before, after = [], []
    for matrix, weight in _weights(program, context):
        rotate = prepared[matrix.name].rotation
        limit, errors = clip_of(weight, rotate, target, seed=0)
        if limit is not None:
            clips[matrix.name] = limit
        before.append(errors.get(None, 0.0))
        after.append(errors.get(limit, 0.0))
    figures = {
        "weight_error_before": _round(float(np.mean(before))),
        "weight_error_after": _round(float(np.mean(after))),
    }
    if not clips:
        return _not(recovery, "clipping", "no limit makes weights on these devices better", figures)
    said = (
        f"weights of {len(clips)} of {len(before)} matrices, at {min(clips.values()):g} to "
        f"{max(clips.values()):g} times their column's root mean square: on devices their relative "
        f"error is {figures['weight_error_after']:.1%}, else {figures['weight_error_before']:.1%}"
    )
    return replace(_did(recovery, "clipping", said, figures), clips=clips)


def see_activations(program: Program, context: Context) -> None:
    """Looks at what matrices read, once for all steps."""
    if context.seen is not None:
        return
    windows = context.observed.batches(context.checked.options.calibration_tokens)
    with context.clock.stage("activations"):
        total = count_of(windows)
        context.seen = look_at_activations(
            context.observed.module(program),
            readers_of(program),
            windows,
            lambda done: context.progress("activations", done, total),
        )
        context.seen_tokens = total


def with_ranges_by_error(program: Program, context: Context) -> Program:
    """The program with the input ranges with which products are least wrong."""
    see_activations(program, context)
    assert context.seen is not None
    context.progress("ranges", 0, 0)
    prepared = preparations(program)
    by_input: dict[str, list[tuple[Matrix, Tensor]]] = {}
    with context.clock.stage("ranges"):
        for matrix, weight in _weights(program, context):
            if matrix.input in context.seen.samples and matrix.input_range is None:
                by_input.setdefault(matrix.input, []).append((matrix, weight))
        found = {
            name: range_of(
                *context.seen.samples[name],
                [weight for _, weight in readers],
                [prepared[matrix.name] for matrix, _ in readers],
                context.checked.target,
            )
            for name, readers in by_input.items()
        }
    observed = context.observed
    used = Calibration("error", observed.name, observed.sha256, context.seen_tokens)
    matrices = tuple(
        replace(m, input_range=found[m.input][0])
        if m.input in found and m.input_range is None and found[m.input][0]
        else m
        for m in program.matrices
    )
    errors = [
        errors[min(errors, key=lambda each: errors[each])] for _, errors in found.values() if errors
    ]
    program = replace(program, matrices=matrices, calibration=used)
    if program.recovery is not None and errors:
        mean = float(np.mean(errors))
        said = (
            f"of {len(errors)} inputs; converters alone then leave a relative error of {mean:.2%}"
        )
        recovery = _did(program.recovery, "ranges", said, {"product_error": _round(mean)})
        program = replace(program, recovery=recovery)
    return program


def with_corrections(program: Program, context: Context) -> Program:
    """The program with what is corrected on each chip: the mean error of every output, -O1, which
    takes no multiply-accumulates, and errors along principal directions, -O2."""
    recovery, checked = program.recovery, context.checked
    exact = not checked.target.is_random and not checked.target.needs_input_range
    if recovery is None or context.shapes_only or exact or not context.observed.possible:
        return program
    see_activations(program, context)
    assert context.seen is not None
    if recovery.level > 1 and context.loaded.on_disk is not None:
        reason = "weights stay on disk, and a chip on which directions are chosen needs them all"
        program = replace(program, recovery=_not(recovery, "directions", reason))
    if recovery.level == 1 or context.loaded.on_disk is not None:
        return _corrected(program, context, Chosen(_no_directions(program, context), 0.0, 0.0, 0.0))
    context.progress("correction", 0, 0)
    with context.clock.stage("sensitivity"):
        minded = _sensitivities(program, context)
    with context.clock.stage("correction"):
        readers = list(_readers(program, context, minded))
        budget = checked.options.digital_budget * _macs(program)
        chosen = choose_ranks(readers, budget)
    return _corrected(program, context, chosen)


def _corrected(program: Program, context: Context, chosen: Chosen) -> Program:
    assert context.seen is not None and program.recovery is not None
    inputs = {name: program.by_name[name].input for name in chosen.ranks}
    most = {
        name: max(rank for matrix, rank in chosen.ranks.items() if inputs[matrix] == name)
        for name in dict.fromkeys(inputs.values())
    }
    kept = {name: context.seen.directions[name].first(count) for name, count in most.items()}
    context.recovered = replace(context.recovered, directions=kept)
    share = chosen.macs / _macs(program)
    said = (
        f"the mean error of {len(inputs)} matrices and {sum(chosen.ranks.values())} directions, "
        f"with {READS} reads each on every chip: {share:.2%} of the multiply-accumulates"
    )
    figures = {
        "digital_budget": context.checked.options.digital_budget if chosen.macs else 0.0,
        "digital_share": _round(share),
        "predicted_kl_removed": _round(chosen.worth),
        "predicted_kl_bound": _round(chosen.bound),
    }
    recovery = _did(program.recovery, "correction", said, figures)
    return replace(program, recovery=replace(recovery, ranks=chosen.ranks, reads=READS))


def _no_directions(program: Program, context: Context) -> dict[str, int]:
    assert context.seen is not None
    return {m.name: 0 for m in program.analog if m.input in context.seen.directions}


def _macs(program: Program) -> float:
    return sum(matrix.macs_per_token for matrix in program.matrices)


def _sensitivities(program: Program, context: Context) -> dict[str, Tensor]:
    products = {m.name: reader_of(m) for m in program.analog}
    windows = context.observed.batches(_SENSITIVITY_TOKENS)
    module = context.observed.module(program)
    try:
        return sensitivities(module, products, windows)
    except NoGradients:
        return by_size(module, products, windows)


def _readers(program: Program, context: Context, minded: Mapping[str, Tensor]) -> Iterator[Reader]:
    """What correcting each matrix is worth, on a chip that is nobody's."""
    assert context.seen is not None
    lowered = LoweredGraph(context.loaded, program, context.exported)
    on_tiles = OnTiles(program, context.checked.target, context.loaded, lowered, Recovered())
    on_tiles.write(instance=DESIGN_CHIP)
    for matrix in program.analog:
        directions = context.seen.directions.get(matrix.input)
        if directions is None or not len(directions) or matrix.name not in minded:
            continue
        worth = np.zeros(len(directions))
        names = names_in_tiles(matrix)[:_EXPERTS]
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


def _weights(program: Program, context: Context) -> Iterator[tuple[Matrix, Tensor]]:
    """Weights [cols, rows] as the model has them, of a bank those of some experts."""
    plain = replace(program, recovery=None, digital=program.digital)
    weights = IdealWeights(context.loaded, plain)
    for matrix in to_calibrate(program):
        names = [name for name in names_in_tiles(matrix)[:_EXPERTS] if name in weights]
        for name in names if is_bank(matrix) else names[:1]:
            yield matrix, weights[name]


def _did(
    recovery: Recovery, name: str, said: str, figures: Mapping[str, object] | None = None
) -> Recovery:
    step = RecoveryStep(name, True, said, dict(figures or {}))
    return replace(recovery, steps=(*recovery.steps, step))


def _not(
    recovery: Recovery, name: str, reason: str, figures: Mapping[str, object] | None = None
) -> Recovery:
    step = RecoveryStep(name, False, reason, dict(figures or {}))
    return replace(recovery, steps=(*recovery.steps, step))


def _round(value: float) -> float:
    return float(f"{value:.4g}")
