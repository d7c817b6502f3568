"""The steps of a compile, in the order in which `afmc.compiler.compile` takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from afmc.common.progress import Clock, Progress
from afmc.compiler.context import Context, Source
from afmc.compiler.early import check_by_shapes, check_patterns, check_text, patterns_in
from afmc.compiler.levers import fit_or_explain
from afmc.compiler.observe import (
    calibrate,
    check_ranges,
    needs_ranges,
    with_distributions,
    with_repair,
)
from afmc.compiler.options import Checked
from afmc.compiler.recompile import keep
from afmc.compiler.recover import with_ranges_by_error
from afmc.data.samples import Samples
from afmc.errors import ModelError, OptionError
from afmc.frontends.find import resolve
from afmc.frontends.graph.stamp import find_structure
from afmc.frontends.huggingface.shapes import load_shapes, shapes_of
from afmc.frontends.huggingface.sliding import with_sliding_windows
from afmc.frontends.load import load
from afmc.frontends.loaded import Loaded, positions_of
from afmc.frontends.network import parameters_in
from afmc.passes import name_of
from afmc.passes.partition import chosen_by
from afmc.program.model import Matrix, Model, is_bank
from afmc.program.program import Program
from afmc.program.routing import with_routing


def read_model(source: Source, checked: Checked, clock: Clock, progress: Progress) -> Context:
    """Reads the model. Raises ModelError, SampleError and OptionError."""
    options = checked.options
    if options.shapes_only and source.example_inputs is not None:
        raise OptionError(
            "example inputs calibrate input ranges on the weights, which --shapes-only does not "
            "read: leave one of the two out."
        )
    progress("load", 0, 0)
    if isinstance(source.model, str | Path):
        found = resolve(str(source.model), shapes_only=options.shapes_only)
        check_by_shapes(checked.passes, found, source.trust_remote_code)
    samples: Samples | None = None
    with clock.stage("load"):
        if options.shapes_only:
            loaded = _load_shapes(source)
        else:
            loaded, samples = load(
                source.model,
                source.example_inputs,
                tokenizer=source.tokenizer,
                revision=source.revision,
                trust_remote_code=source.trust_remote_code,
                weights=options.weights,
                log=lambda line: progress(line, 0, 0),
            )
    if options.weights == "disk" and loaded.on_disk is None:
        raise OptionError(
            f"--weights disk: {loaded.name} is read as a whole; weights stay on disk where they are"
            f" safetensors of a language model's folder or hub id."
        )
    if loaded.graph is not None and options.text is not None:
        raise OptionError(
            f"{loaded.name} is no language model: its input ranges are calibrated on samples "
            f"(--data FILE.npz), not on a text."
        )
    if loaded.graph is None:
        check_patterns(checked.passes, loaded.module, loaded.name)
        check_text(loaded, checked.text)
    return Context(checked, loaded, samples, clock, progress)


def _load_shapes(source: Source) -> Loaded:
    if isinstance(source.model, ExportedProgram):
        raise OptionError("an exported program is not read as shapes alone: leave shapes_only out.")
    if isinstance(source.model, nn.Module):
        return shapes_of(source.model)
    return load_shapes(
        resolve(str(source.model), shapes_only=True),
        trust_remote_code=source.trust_remote_code,
        revision=source.revision,
    )


def begin(context: Context) -> Program:
    """The program before anything is known of its matrices."""
    loaded = context.loaded
    parameters = sum(p.numel() for p in loaded.module.parameters())
    architecture = type(loaded.module).__name__
    model = Model(
        loaded.name,
        architecture,
        loaded.sha256,
        parameters,
        context.shapes_only,
        positions=None if loaded.config is None else positions_of(loaded.config),
    )
    if loaded.graph is not None:
        model = replace(model, architecture=loaded.graph.architecture, unit="inference")
    return Program(model, (), training=loaded.training, defects=context.checked.defects)


def with_structure(program: Program, context: Context) -> Program:
    """The program with its matrices, what reads what, and the work besides. Raises ModelError."""
    loaded = context.loaded
    context.progress("export", 0, 0)
    with context.clock.stage("export"):
        if loaded.graph is not None:
            structure = loaded.graph.structure(context.samples)
            parameters = parameters_in(structure)
            program = replace(program, model=replace(program.model, parameters=parameters))
        else:
            hollow = loaded.on_disk is not None
            structure = find_structure(loaded.hollow() if hollow else loaded.module)
    matrices, remainder, work = structure
    if not matrices:
        raise ModelError(f"{loaded.name} has no linear layer with a constant weight.")
    program = replace(
        program,
        matrices=tuple(_with_its_range(matrix, loaded) for matrix in matrices),
        remainder=remainder,
        work=with_sliding_windows(work, loaded.module),
    )
    for pattern in patterns_in(context.checked.passes):
        chosen_by(pattern, program)
    routing = context.checked.routing
    return program if routing is None else with_routing(program, routing)


def _with_its_range(matrix: Matrix, loaded: Loaded) -> Matrix:
    """A matrix with the input ranges that the checkpoint brought along beside the weight."""
    beside = matrix.name if is_bank(matrix) else matrix.module
    ranges = loaded.input_ranges.get(beside, ())
    several = ranges if len(set(ranges)) > 1 else ()
    return replace(matrix, input_range=max(ranges, default=None), slice_ranges=several)


def with_ranges(program: Program, context: Context) -> Program:
    """The program with the input ranges that it needs and does not have, and with its routing.

    Raises CapacityError before a text is looked at where the model cannot fit.
    """
    checked, progress = context.checked, context.progress
    ranges = not context.shapes_only and needs_ranges(program, checked.target)
    unseen = program.routing is None and any(map(is_bank, program.matrices))
    limited = checked.target.system.chips is not None and checked.options.passes is None
    if ranges and not unseen and limited:
        with context.clock.stage("passes"):  # whether it fits does not follow from ranges
            fit_or_explain(program, checked.target, checked.passes)
    if ranges and checked.method.kind == "error":
        program, ranges = with_ranges_by_error(program, context), False
        check_ranges(program)
    if ranges or (unseen and context.loaded.tokenizer is not None):
        tokens = checked.options.calibration_tokens
        with context.clock.stage("calibrate"):
            program = calibrate(program, context.observed, checked.method, tokens, ranges, progress)
        if ranges:
            check_ranges(program)
    return program


def mapped(program: Program, context: Context) -> Program:
    """The program with every block on a tile. Raises CapacityError, PassError and OptionError."""
    checked, progress = context.checked, context.progress
    with context.clock.stage("passes"):
        program = fit_or_explain(
            program, checked.target, checked.passes, lambda name: progress(name, 0, 0)
        )
    if program.allocation is None or not len(program.placements):
        names = ", ".join(name_of(step) for step in checked.passes)
        raise OptionError(f"the passes {names} do not allocate and place every block.")
    return program


def as_kept(program: Program, context: Context) -> Program:
    """The program that an earlier compile began its passes with, and the routing given now."""
    assert context.checked.kept is not None
    earlier = context.checked.kept.compiled.program
    program = replace(
        program,
        model=replace(program.model, parameters=earlier.model.parameters),
        matrices=earlier.matrices,
        remainder=earlier.remainder,
        work=earlier.work,
        calibration=earlier.calibration,
        routing=earlier.routing,
    )
    routing = context.checked.routing
    return program if routing is None else with_routing(program, routing)


def mapped_as_kept(program: Program, context: Context) -> Program:
    """The program with the placements of an earlier compile, except where defects hit them."""
    checked, kept = context.checked, context.checked.kept
    assert kept is not None
    calibrated = (str(checked.method), "" if context.shapes_only else context.observed.sha256)
    return keep(program, checked.target, checked.passes, kept.compiled, calibrated, kept.folder)


def with_full_scale(program: Program, context: Context) -> Program:
    """The program with how its matrices use full scale, where the weights are known."""
    if context.shapes_only:
        return program
    with context.clock.stage("distributions"):
        return with_distributions(
            program, context.checked.target, context.observed, context.progress
        )


def with_repaired_cells(program: Program, context: Context) -> Program:
    """The program with what is done about its stuck cells, where the weights are known."""
    checked = context.checked
    if checked.defects is None or not checked.defects.has_stuck_cells or context.shapes_only:
        return program
    kept = None if checked.kept is None else checked.kept.compiled
    with context.clock.stage("repair"):
        return with_repair(
            program, checked.target, context.observed, checked.repair, kept, context.progress
        )
