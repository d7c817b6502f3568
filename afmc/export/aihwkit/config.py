"""A mapping as a Python file that configures AIHWKIT's simulator: one configuration a layer.

AIHWKIT keeps its configurations as Python. The file imports nothing but AIHWKIT and torch, and says
at its top what afmc models and the simulator there does not, or otherwise.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from afmc.common.files import Kind, begins, check_file, written
from afmc.common.version import VERSION
from afmc.errors import OptionError
from afmc.export.aihwkit.devices import NoiseModel, noise_model_of
from afmc.export.aihwkit.layers import _LAYERS, _WIDTH, Layer, layers_of
from afmc.export.aihwkit.notes import notes_on
from afmc.export.exported import Exported
from afmc.export.recovered import check_inputs_as_they_are, notes_on_recovery
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import read_program
from afmc.targets import Target

CONFIGURATION = Kind(
    "a configuration of AIHWKIT that afmc wrote",
    begins(b'"""AIHWKIT configuration of a mapping that afmc '),
)
_Settings = list[tuple[str, str]]


def export_aihwkit(directory: Path | str, file: Path | str) -> Exported:
    """Writes a Python module with ``rpu_config(layer)``, a `TorchInferenceRPUConfig`, and
    ``convert(model)``. What differs from afmc is in its docstring, and in `Exported.notes`.

    Raises OptionError where AIHWKIT has no layer for any matrix, or nothing can be written.
    """
    file = Path(file)
    if not file.is_dir() and file.suffix != ".py":
        raise OptionError(f"-o {file}: name a file that ends in .py, as AIHWKIT is configured.")
    check_file(file, CONFIGURATION)
    kept = read_program(Path(directory))
    check_inputs_as_they_are(kept.program, "AIHWKIT")
    layers, elsewhere = layers_of(kept.layout)
    if not layers:
        raise OptionError(
            f"{kept.program.model.name} has no matrix on tiles in a layer that AIHWKIT has: it has "
            f"{', '.join(_LAYERS[:-1])} and {_LAYERS[-1]} of torch.nn."
        )
    noise = noise_model_of(kept.target)
    lost = notes_on_recovery(kept.program, "AIHWKIT's configuration")
    notes = (*notes_on(kept, layers, elsewhere), *lost, *noise.notes)
    with written(file, CONFIGURATION) as unfinished:
        unfinished.write_text(_text(kept, layers, noise, notes), encoding="utf-8")
    counts = {"layers": len(layers)}
    what = f"configuration of {len(layers):,} layers"
    return Exported(file, what, file.stat().st_size, counts, notes)


def _text(
    kept: CompiledProgram, layers: Sequence[Layer], noise: NoiseModel, notes: Sequence[str]
) -> str:
    environment = Environment(
        loader=PackageLoader("afmc.export.aihwkit", ""),
        autoescape=False,  # it is Python, and what is put in has been made safe for that
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    ranged = all(layer.ranges for layer in layers)
    settings, imports = _settings(kept, noise, ranged)
    return environment.get_template("rpu_config.py.j2").render(
        version=VERSION,
        model=_plain(kept.program.model.name),
        target=_plain(kept.target.name),
        notes=[_item(_plain(note)) for note in notes],
        layers=[
            {
                "path": _quoted(layer.path),
                "rows": layer.rows,
                "cols": layer.cols,
                "ranges": repr(layer.ranges),
            }
            for layer in layers
        ],
        imports=list(_imports([*imports, *noise.imports])),
        classes=noise.classes,
        before=noise.before,
        settings=settings,
        ranged=ranged,
    )


def _settings(
    kept: CompiledProgram, noise: NoiseModel, ranged: bool
) -> tuple[_Settings, list[tuple[str, str]]]:
    """What all layers have in common, and what that needs."""
    target, output = kept.target, kept.target.output
    bound = output.bound or 0.0
    enums = "aihwkit.simulator.parameters.enums"
    imports = [
        ("aihwkit.nn.conversion", "convert_to_analog"),
        ("aihwkit.simulator.configs", "TorchInferenceRPUConfig"),
        (enums, "BoundManagementType"),
        (enums, "NoiseManagementType"),
        *(("torch.nn", kind) for kind in ("Module", *_LAYERS)),
    ]
    whole = target.needs_input_range and not ranged
    noise_steps = output.noise_steps * 2 * bound / output.steps if output.steps else 0.0
    settings = [
        ("mapping.digital_bias", "True"),
        ("mapping.weight_scaling_omega", "1.0"),
        ("mapping.weight_scaling_columnwise", repr(scope_of(target) == "column")),
        ("forward.inp_bound", repr(1.0 if target.needs_input_range else 0.0)),
        ("forward.inp_res", repr(target.input.steps or -1)),
        ("forward.inp_noise", "0.0"),
        ("forward.out_bound", repr(bound if output.steps else 0.0)),
        ("forward.out_res", repr(output.steps or -1)),
        ("forward.out_noise", repr(noise_steps)),
        ("forward.bound_management", "BoundManagementType.NONE"),
        ("forward.noise_management", f"NoiseManagementType.{'ABS_MAX' if whole else 'NONE'}"),
        ("pre_post.input_range.enable", repr(ranged)),
        ("pre_post.input_range.init_from_data", "0"),
        ("noise_model", noise.expression),
    ]
    compensation = {
        "none": None,
        "tile": "GlobalDriftCompensation",
        "column": "PerColumnDriftCompensation",
        "reference": "GlobalDriftCompensation",
    }[target.device.compensation]
    settings.append(("drift_compensation", f"{compensation}()" if compensation else "None"))
    if compensation:
        imports.append(("aihwkit.inference.compensation.drift", compensation))
    training = kept.program.training
    if training is not None and training.clip == "matrix" and training.clip_sigma:
        imports.append((enums, "WeightClipType"))
        settings.append(("clip.type", "WeightClipType.LAYER_GAUSSIAN"))
        settings.append(("clip.sigma", repr(training.clip_sigma)))
    if training is not None and training.weight_noise:
        imports.append((enums, "WeightModifierType"))
        settings.append(("modifier.type", "WeightModifierType.ADD_NORMAL"))
        settings.append(("modifier.std_dev", repr(training.weight_noise)))
    return settings, imports


def scope_of(target: Target) -> str:
    """Over what the largest weight is taken: AIHWKIT scales weights and converters alike."""
    return target.output.range if target.output.steps else target.device.scale


def _imports(needed: Iterable[tuple[str, str]]) -> Iterator[str]:
    names: dict[str, set[str]] = {}
    for module, name in needed:
        names.setdefault(module, set()).add(name)
    for module in sorted(names):
        ordered = sorted(names[module], key=_as_sorted)
        line = f"from {module} import {', '.join(ordered)}"
        yield (
            line
            if len(line) <= _WIDTH
            else "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])
        )


def _as_sorted(name: str) -> tuple[bool, str]:
    """Classes before functions, as import sorters have it."""
    return (name[0].islower(), name)


def _quoted(text: str) -> str:
    """As a string of Python, in ASCII."""
    return json.dumps(text) if text.isascii() else ascii(text)


def _plain(text: str) -> str:
    """For a docstring: one line that neither ends it nor escapes anything."""
    line = " ".join(ascii(text)[1:-1].split())
    return line.replace("\\", "/").replace('"', "'")


def _item(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="* ", subsequent_indent="  ")
