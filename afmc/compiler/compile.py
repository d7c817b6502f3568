"""From a model and a target to a program: the frontend, the passes and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from afmc.common.progress import Clock, Progress, silent
from afmc.compiled_model import CompiledModel
from afmc.compiler import recover, steps
from afmc.compiler.context import Source
from afmc.compiler.levers import levers
from afmc.compiler.options import REPAIR, Checked, Options
from afmc.compiler.rewriting import rewritten, with_rewriting
from afmc.data.text import Text
from afmc.frontends.find import Weights
from afmc.frontends.load import ExampleInputs
from afmc.hardware.defects import Defects
from afmc.passes import Pass
from afmc.program.observed import Routing
from afmc.simulator.devices.base import device_of
from afmc.targets import Target


def compile(
    model: str | Path | nn.Module | ExportedProgram,
    target: str | Path | Target = "afm-512-projected",
    *,
    example_inputs: ExampleInputs | None = None,
    digital: Sequence[str] = (),
    text: str | Path | Text | None = None,
    level: int = 0,
    digital_budget: float = 0.02,
    rewrite: Sequence[str] = (),
    calibration: str | None = None,
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
    level: what is done to recover accuracy, as with ``-O``: 0 nothing; 1 a constant prefix,
        rotations of inputs, ranges and limits of weights by error, which cost no
        multiply-accumulates on each token; 2 corrections in principal directions as well.
    digital_budget: share of all multiply-accumulates that corrections may take digitally.
    rewrite: exact changes of the digital model's weights, found in its graph, before it is mapped:
        any of ``untie``, ``fold_norms``, ``residual`` and ``heads``. One that its graph does not
        allow, or that changes a logit, is left out, and `CompiledModel.program.rewriting` says why.
    calibration: ``error``, ``std:K`` or ``percentile:P``, see
        `afmc.compiler.calibration.Method`; at level 0 ``std:18`` without one, else ``error``.
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
    options = Options(
        target=target,
        digital=digital,
        text=text,
        level=level,
        digital_budget=digital_budget,
        rewrite=rewrite,
        calibration=calibration,
        calibration_tokens=calibration_tokens,
        routing=routing,
        objective=objective,
        defects=defects,
        repair=repair,
        keep=keep,
        settings=settings,
        passes=passes,
        shapes_only=shapes_only,
        weights=weights,
    )
    source = Source(model, example_inputs, tokenizer, revision, trust_remote_code)
    return compile_checked(source, options.checked(), progress)


def compile_checked(source: Source, checked: Checked, progress: Progress = silent) -> CompiledModel:
    """Compiles a model as options say that were checked. Raises an AfmcError, in one sentence."""
    device_of(checked.target)
    clock = Clock()
    context = steps.read_model(source, checked, clock, progress)
    rewriting = rewritten(context)
    program = with_rewriting(steps.begin(context), rewriting)
    if checked.kept is None:
        program = steps.with_structure(program, context)
        program = recover.with_exact_steps(program, context)
        start = steps.with_ranges(program, context)
        program = steps.mapped(start, context)
    else:
        start = steps.as_kept(program, context)
        program = steps.mapped_as_kept(start, context)
    progress("levers", 0, 0)
    with clock.stage("levers"):
        found = levers(program, start, checked.target, checked.passes)
    program = steps.with_full_scale(program, context)
    program = steps.with_repaired_cells(program, context)
    program = recover.with_corrections(program, context)
    loaded = None if context.shapes_only else context.loaded
    return CompiledModel(
        program, checked.target, loaded, found, context.exported, clock, recovered=context.recovered
    )
