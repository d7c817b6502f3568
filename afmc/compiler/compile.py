"""From a model and a target to a program: the frontend, the passes and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from torch import nn
from torch.export import ExportedProgram

from afmc.common.progress import Clock, Progress, silent
from afmc.compiled_model import CompiledModel
from afmc.compiler.activations import Method
from afmc.compiler.levers import fit_or_explain, levers
from afmc.compiler.observe import (
    Observed,
    calibrate,
    check_ranges,
    needs_ranges,
    with_distributions,
    with_repair,
)
from afmc.compiler.pipeline import configure, load_passes, with_objective
from afmc.compiler.recompile import keep as keep_placements
from afmc.compiler.repair import METHODS as REPAIR
from afmc.compiler.repair import parse_repair
from afmc.data.samples import Samples
from afmc.data.text import Text
from afmc.errors import ModelError, OptionError
from afmc.frontends.find import resolve
from afmc.frontends.graph.export import export
from afmc.frontends.graph.loops import structure_of
from afmc.frontends.graph.stamp import find_structure
from afmc.frontends.huggingface.shapes import load_shapes, shapes_of
from afmc.frontends.huggingface.sliding import with_sliding_windows
from afmc.frontends.load import ExampleInputs
from afmc.frontends.load import load as load_model
from afmc.frontends.loaded import Loaded, Weights
from afmc.frontends.network import parameters_in
from afmc.hardware.defects import Defects, gather_defects
from afmc.passes import Pass, name_of
from afmc.program.folder import read_program
from afmc.program.model import Matrix, Model, is_bank
from afmc.program.observed import Routing
from afmc.program.program import Program
from afmc.program.routing import read_routing, with_routing
from afmc.simulator.devices.base import device_of
from afmc.targets import Target, load_target


def compile(
    model: str | Path | nn.Module | ExportedProgram,
    target: str | Path | Target = "afm-512-projected",
    *,
    example_inputs: ExampleInputs | None = None,
    digital: Sequence[str] = (),
    text: str | Path | Text | None = None,
    calibration: str = "std:18",
    calibration_tokens: int = 4096,
    routing: str | Path | Routing | None = None,
    objective: str | None = None,
    defects: str | Path | Defects | Sequence[str | Path | Defects] | None = None,
    repair: str | Sequence[str] = REPAIR,
    keep: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    passes: Sequence[Pass] | None = None,
    shapes_only: bool = False,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    weights: Weights = "auto",
    progress: Progress = silent,
) -> CompiledModel:
    """Compiles a model onto the tiles of a target.

    Parameters
    ----------
    model: a name that afmc knows (``demo``, ``demo-teacher``, ``smollm2-135m``), a Hugging Face
        folder or id (also with the ``pytorch_model.bin`` and ``rpu_config`` of
        AIHWKIT-Lightning), a ``.gguf`` file, or a module in memory, also one that
        AIHWKIT-Lightning converted (then with its `tokenizer`, where the target has converters).
        With `shapes_only` also a ``.json`` configuration. Other than language models: an ``.onnx``
        or ``.pt2`` file, a `torch.export.ExportedProgram`, or any module with `example_inputs`.
    target: a name, a ``.toml`` file, or a `Target`; the tiles of the paper on analog foundation
        models without one.
    example_inputs: samples for a model that is no language model, on which its input ranges are
        calibrated: a tensor for each input, whose first dimension counts samples, or an ``.npz``
        file with ``inputs``, or an array for each input by its name.
    digital: patterns of matrices to keep digital besides those that must be.
    text: calibrates the input ranges that the model does not bring along; that of
        `afmc.data.text.read_text` without one.
    calibration: ``std:K`` or ``percentile:P``, see `afmc.compiler.activations.Method`.
    routing: which experts a sample of tokens goes to, an ``.npz`` file with an array
        [tokens, experts of a token] for each experts' module; seen on the text without it.
    objective: what the mapping is to be best in, ``tiles`` (the default), ``latency``, ``energy``
        or ``accuracy``; `afmc.passes.cutting.choose` says what each of them counts.
    defects: what is broken: CSV files, rates (``"cells_off=0.005,tiles=0.01,seed=7"``), `Defects`.
    repair: what is done about stuck cells: ``permute`` (which row and column of a block goes to
        which line), ``pair`` (the working devices of a weight make up for the stuck ones), both, or
        none of it.
    keep: a folder of an earlier compile with the same model, target and passes, whose placements
        stay except where `defects` hits them.
    settings: options of passes (``{"allocate.rule": "parallel"}``) and figures of the target
        (``{"target.system.chips": 8}``), as with ``--set``.
    passes: instead of partition, merge, split, replicate, allocate and place with `settings`.
    shapes_only: reads the configuration and no weights. The mapping is the same; there are no input
        ranges, and nothing can be simulated.
    weights: whether those of a folder or of the hub are read into ``memory``, or stay on ``disk``
        as safetensors and are read one at a time, for models that are larger than memory; by
        itself (``auto``) in memory if they fit. The program is the same.
    progress: called with each stage.

    Raises an AfmcError, in one sentence, for whatever the user can mend.
    """
    clock = Clock()
    method = Method.parse(calibration)
    settings = dict(settings or {})
    overrides = {
        key.removeprefix("target."): settings.pop(key)
        for key in list(settings)
        if key.startswith("target.")
    }
    hardware = load_target(target, overrides)
    device_of(hardware)
    if isinstance(routing, str | Path):
        routing = read_routing(routing)
    broken = gather_defects(defects, hardware)
    methods = parse_repair(repair)
    kept = None if keep is None else read_program(Path(keep))
    steps = configure(load_passes() if passes is None else list(passes), settings)
    if digital:
        steps = configure(steps, {"partition.digital": tuple(digital)})
    if objective is not None:
        steps = with_objective(steps, objective)

    if shapes_only and text is not None:
        raise OptionError(
            "a text calibrates input ranges on the weights, which --shapes-only does not read: "
            "leave one of the two out."
        )

    if shapes_only and example_inputs is not None:
        raise OptionError(
            "example inputs calibrate input ranges on the weights, which --shapes-only does not "
            "read: leave one of the two out."
        )

    if weights not in get_args(Weights):
        raise OptionError(f"weights is one of {', '.join(get_args(Weights))}, not {weights!r}.")

    if shapes_only and weights != "auto":
        raise OptionError(
            f"--shapes-only reads no weights, so they are not in {weights}: leave one out."
        )

    progress("load", 0, 0)
    samples: Samples | None = None
    with clock.stage("load"):
        if shapes_only:
            loaded = _load_shapes(model, revision, trust_remote_code)
        else:
            loaded, samples = load_model(
                model,
                example_inputs,
                tokenizer=tokenizer,
                revision=revision,
                trust_remote_code=trust_remote_code,
                weights=weights,
                log=lambda line: progress(line, 0, 0),
            )
    if weights == "disk" and loaded.on_disk is None:
        raise OptionError(
            f"--weights disk: {loaded.name} is read as a whole; weights stay on disk where they are"
            f" safetensors of a language model's folder or hub id."
        )
    if loaded.graph is not None and text is not None:
        raise OptionError(
            f"{loaded.name} is no language model: its input ranges are calibrated on samples "
            f"(--data FILE.npz), not on a text."
        )
    observed = Observed(loaded, text, samples)
    start = _start(loaded, shapes_only, broken)
    exported = None
    if kept is not None:
        assert keep is not None
        calibrated = (str(method), "" if shapes_only else observed.sha256)
        start = _as_kept(start, kept.program, routing)
        program = keep_placements(start, hardware, steps, kept, calibrated, Path(keep))
    else:
        progress("export", 0, 0)
        with clock.stage("export"):
            if loaded.graph is not None:
                structure = loaded.graph.structure(samples)
                parameters = parameters_in(structure)
                start = replace(start, model=replace(start.model, parameters=parameters))
            else:
                if loaded.on_disk is not None:
                    hollow = loaded.hollow()
                    structure = structure_of(hollow, export(hollow))
                elif shapes_only:
                    structure = find_structure(loaded.module)
                else:
                    exported = export(loaded.module)
                    structure = structure_of(loaded.module, exported)
        matrices, remainder, work = structure
        if not matrices:
            raise ModelError(f"{loaded.name} has no linear layer with a constant weight.")
        matrices = tuple(_with_its_range(matrix, loaded) for matrix in matrices)
        work = with_sliding_windows(work, loaded.module)
        start = replace(start, matrices=matrices, remainder=remainder, work=work)
        if routing is not None:
            start = with_routing(start, routing)
        ranges = not shapes_only and needs_ranges(start, hardware)
        unseen = start.routing is None and any(map(is_bank, matrices))
        if ranges and not unseen and hardware.system.chips is not None and passes is None:
            with clock.stage("passes"):  # whether it fits does not follow from ranges: say it soon
                fit_or_explain(start, hardware, steps)
        if ranges or (unseen and loaded.tokenizer is not None):
            with clock.stage("calibrate"):
                start = calibrate(start, observed, method, calibration_tokens, ranges, progress)
            if ranges:
                check_ranges(start)
        with clock.stage("passes"):
            program = fit_or_explain(start, hardware, steps, lambda name: progress(name, 0, 0))
        if program.allocation is None or not len(program.placements):
            names = ", ".join(name_of(step) for step in steps)
            raise OptionError(f"the passes {names} do not allocate and place every block.")
    progress("levers", 0, 0)
    with clock.stage("levers"):
        found = levers(program, start, hardware, steps)
    if not shapes_only:
        with clock.stage("distributions"):
            program = with_distributions(program, hardware, observed, progress)
    if broken is not None and broken.has_stuck_cells and not shapes_only:
        with clock.stage("repair"):
            program = with_repair(program, hardware, observed, methods, kept, progress)
    return CompiledModel(program, hardware, None if shapes_only else loaded, found, exported, clock)


def _start(loaded: Loaded, shapes_only: bool, defects: Defects | None) -> Program:
    """Before anything is known of its matrices."""
    parameters = sum(p.numel() for p in loaded.module.parameters())
    architecture = type(loaded.module).__name__
    model = Model(loaded.name, architecture, loaded.sha256, parameters, shapes_only)
    if loaded.graph is not None:
        model = replace(model, architecture=loaded.graph.architecture, unit="inference")
    return Program(model, (), training=loaded.training, defects=defects)


def _as_kept(start: Program, kept: Program, routing: Routing | None) -> Program:
    """With what the passes of an earlier compile began with, and the routing that is given now."""
    earlier = replace(
        start,
        model=replace(start.model, parameters=kept.model.parameters),
        matrices=kept.matrices,
        remainder=kept.remainder,
        work=kept.work,
        calibration=kept.calibration,
        routing=kept.routing,
    )
    return earlier if routing is None else with_routing(earlier, routing)


def _with_its_range(matrix: Matrix, loaded: Loaded) -> Matrix:
    """With the input ranges that the checkpoint brought along beside the weight."""
    beside = matrix.name if is_bank(matrix) else matrix.module
    ranges = loaded.input_ranges.get(beside, ())
    several = ranges if len(set(ranges)) > 1 else ()
    return replace(matrix, input_range=max(ranges, default=None), slice_ranges=several)


def _load_shapes(
    model: str | Path | nn.Module | ExportedProgram, revision: str | None, trust_remote_code: bool
) -> Loaded:
    if isinstance(model, ExportedProgram):
        raise OptionError("an exported program is not read as shapes alone: leave shapes_only out.")
    if isinstance(model, nn.Module):
        return shapes_of(model)
    source = resolve(str(model), shapes_only=True)
    return load_shapes(source, trust_remote_code=trust_remote_code, revision=revision)
