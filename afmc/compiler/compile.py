"""From a model and a target to a program: the frontend, the passes and what follows from them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from afmc.common.described import descriptions_of
from afmc.common.progress import Clock, Progress, silent
from afmc.compiled_model import CompiledModel
from afmc.compiler import recover, steps
from afmc.compiler.choose import with_all_together, with_choice
from afmc.compiler.context import Source
from afmc.compiler.corrections import with_corrections
from afmc.compiler.levers import levers
from afmc.compiler.options import REPAIR, Checked, Options
from afmc.compiler.rewriting import rewritten, with_rewriting
from afmc.data.text import Text
from afmc.fit import Lever
from afmc.frontends.door import Weights
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
    level: int | None = None,
    without: Sequence[str] = (),
    digital_budget: float | None = None,
    tiles: int | None = None,
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
    example_inputs: samples for a model that is no language model, on which its input ranges are
        calibrated: a tensor for each input, whose first dimension counts samples, or an ``.npz``
        file with ``inputs``, or an array for each input by its name.
    tokenizer: of a module in memory, where the target has converters.
    revision: a branch, tag or commit of a model on the hub.
    trust_remote_code: lets code run that comes with a model on the hub.
    progress: called with each stage.

    All other parameters are the fields of `afmc.compiler.options.Options`, which describes them.

    Raises an AfmcError, in one sentence, for whatever the user can mend.
    """
    given = locals()
    options = Options(**{each.name: given[each.name] for each in fields(Options)})
    source = Source(model, example_inputs, tokenizer, revision, trust_remote_code)
    return compile_checked(source, options.checked(), progress)


compile.__doc__ = "\n".join(
    [
        inspect.cleandoc(compile.__doc__ or ""),
        "",
        "Options",
        "-------",
        *(f"{name}: {text}" for name, text in descriptions_of(Options).items()),
    ]
)


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
        start = with_choice(steps.with_ranges(program, context), context)
        program = steps.mapped(start, context)
    else:
        start = recover.as_kept(steps.as_kept(program, context), context)
        program = steps.mapped_as_kept(start, context)
    mapped, passes = program, context.checked.passes

    def found_levers() -> list[Lever]:
        progress("levers", 0, 0)
        with clock.stage("levers"):
            return levers(mapped, start, checked.target, passes)

    program = steps.with_full_scale(program, context)
    program = steps.with_repaired_cells(program, context)
    if checked.kept is None:
        program = with_all_together(with_corrections(program, context), context)
    loaded = None if context.shapes_only else context.loaded
    return CompiledModel(
        program,
        checked.target,
        loaded,
        found_levers,
        clock,
        recovered=context.recovered,
    )
