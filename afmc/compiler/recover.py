"""Recovery as steps of a compile: what is done so that the model works on this target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from afmc.compiler.context import Context
from afmc.compiler.observe import Observed, readers_of, to_calibrate
from afmc.compiler.recorded import did, left, rounded
from afmc.compiler.seen import see_activations, weights_of
from afmc.data.tokens import begin_of
from afmc.demo import MODELS
from afmc.errors import OptionError
from afmc.lower.prepared import preparations
from afmc.lower.recovered import Recovered, load_recovered
from afmc.program.folder import RECOVERY
from afmc.program.model import Matrix
from afmc.program.observed import Calibration
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.recovery.clipping import clip_of
from afmc.recovery.outliers import (
    find_outliers,
    first_token,
    prefix_of,
    tokens_of_prefix,
)
from afmc.recovery.own_text import own_text
from afmc.recovery.ranges import range_of
from afmc.simulator.beforehand import has_wires

_OUTLIER_TOKENS = 2048
_SWITCHED_OFF = "it was switched off"


def with_exact_steps(program: Program, context: Context) -> Program:
    """The program with its prefix, rotations and limits of weights, -O1."""
    checked, loaded = context.checked, context.loaded
    if checked.level == 0:
        return program
    recovery, target = Recovery(checked.level, "", ""), checked.target
    if not target.is_random and not target.needs_input_range:
        reason = f"{target.name} computes exactly, so that there is nothing to recover"
        return replace(program, recovery=left(recovery, "prefix", reason))
    if context.shapes_only:
        return replace(program, recovery=_with_rotations(recovery, program, context))
    context.observed = observed = _with_own_text(context)
    if not observed.possible:
        reason = "there is no text or sample to look at"
        return replace(program, recovery=left(recovery, "prefix", reason))
    recovery = Recovery(checked.level, observed.name, observed.sha256)
    if any(matrix.input_range is not None for matrix in program.matrices):
        reason = "the model was trained with its own input ranges"
        for name in ("prefix", "rotation", "clipping"):
            recovery = left(recovery, name, reason)
        return replace(program, recovery=_with_wires(recovery, context))
    if loaded.graph is None:
        context.progress("prefix", 0, 0)
        with context.clock.stage("prefix"):
            recovery = _with_prefix(recovery, program, context)
    recovery = _with_rotations(recovery, program, context)
    context.progress("clipping", 0, 0)
    with context.clock.stage("clipping"):
        recovery = _with_clips(recovery, program, context)
    return replace(program, recovery=_with_wires(recovery, context))


def as_kept(program: Program, context: Context) -> Program:
    """The program with what an earlier compile recovered, whose chips are corrected alike.

    Raises OptionError where that was at another level or with other steps.
    """
    kept, checked = context.checked.kept, context.checked
    assert kept is not None
    recovery = kept.compiled.program.recovery
    before = 0 if recovery is None else recovery.level
    if before != checked.level:
        raise OptionError(
            f"--keep {kept.folder}: it was compiled with -O{before}, not -O{checked.level}; "
            f"compile without --keep."
        )
    if checked.options.without:
        raise OptionError(
            f"--keep {kept.folder} keeps the recovery of that compile: leave --without out."
        )
    if recovery is not None:
        context.recovered = load_recovered(kept.folder / RECOVERY, kept.compiled.program)
        observed = _with_own_text(context)
        context.observed = replace(observed, prefix=context.recovered.prefix)
    return replace(program, recovery=recovery)


def _with_wires(recovery: Recovery, context: Context) -> Recovery:
    target = context.checked.target
    if "wires" in context.checked.without:
        return left(recovery, "wires", _SWITCHED_OFF)
    if not has_wires(target):
        return left(recovery, "wires", f"the wires of {target.name} lose nothing")
    said = "weights are written so that they come out behind the wires"
    return replace(did(recovery, "wires", said), wires=True)


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
    if "prefix" in context.checked.without:
        return left(recovery, "prefix", _SWITCHED_OFF)
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
        return left(recovery, "prefix", reason, figures)
    try:
        text = windows[0][:, len(begin_of(loaded.tokenizer)) :]
        prefix = prefix_of(module, tokens, text[:, :128])
    except ValueError as error:
        return left(recovery, "prefix", str(error), figures)
    context.observed = replace(observed, prefix=prefix)
    context.recovered = Recovered(prefix)
    after = find_outliers(context.observed.module(program), readers, windows)
    figures["largest_after"] = round(after.largest, 1)
    said = (
        f"{len(tokens)} token{'s' * (len(tokens) > 1)} before every sequence; the largest value of "
        f"a token was {before.largest:,.0f} times the median token's and is {after.largest:,.0f}"
    )
    return replace(did(recovery, "prefix", said, figures), prefix=tokens)


def _with_rotations(recovery: Recovery, program: Program, context: Context) -> Recovery:
    if "rotation" in context.checked.without:
        return left(recovery, "rotation", _SWITCHED_OFF)
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
        return left(recovery, "rotation", said, figures)
    return replace(did(recovery, "rotation", said, figures), rotated=rotated)


def _with_clips(recovery: Recovery, program: Program, context: Context) -> Recovery:
    target = context.checked.target
    if "clipping" in context.checked.without:
        return left(recovery, "clipping", _SWITCHED_OFF)
    if not target.is_random:
        return left(recovery, "clipping", f"the devices of {target.name} have no noise")
    program = replace(program, recovery=recovery)
    prepared, clips = preparations(program), {}
    before, after = [], []
    for matrix, weight in weights_of(program, context):
        rotate = prepared[matrix.name].rotation
        limit, errors = clip_of(weight, rotate, target, seed=0)
        if limit is not None:
            clips[matrix.name] = limit
        before.append(errors.get(None, 0.0))
        after.append(errors.get(limit, 0.0))
    figures = {
        "weight_error_before": rounded(float(np.mean(before))),
        "weight_error_after": rounded(float(np.mean(after))),
    }
    if not clips:
        return left(recovery, "clipping", "no limit makes weights on these devices better", figures)
    said = (
        f"weights of {len(clips)} of {len(before)} matrices, at {min(clips.values()):g} to "
        f"{max(clips.values()):g} times their column's root mean square: on devices their relative "
        f"error is {figures['weight_error_after']:.1%}, else {figures['weight_error_before']:.1%}"
    )
    return replace(did(recovery, "clipping", said, figures), clips=clips)


def with_ranges_by_error(program: Program, context: Context) -> Program:
    """The program with the input ranges with which products are least wrong."""
    see_activations(program, context)
    assert context.seen is not None
    context.progress("ranges", 0, 0)
    prepared = preparations(program)
    by_input: dict[str, list[tuple[Matrix, Tensor]]] = {}
    with context.clock.stage("ranges"):
        for matrix, weight in weights_of(program, context):
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
        recovery = did(program.recovery, "ranges", said, {"product_error": rounded(mean)})
        program = replace(program, recovery=recovery)
    return program
