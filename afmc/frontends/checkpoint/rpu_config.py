"""What AIHWKIT-Lightning's ``rpu_config`` says, read from its pickle without unpickling it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from afmc.errors import ModelError
from afmc.frontends.checkpoint.inert import Made, Named, read_pickle, shown
from afmc.program.observed import Scope, Training

RPU_CONFIG = "rpu_config"
WHAT = "an AIHWKIT-Lightning configuration"

_PACKAGE = "aihwkit_lightning.simulator."
_ROOT = "TorchInferenceRPUConfig"
_CLASSES = {
    _ROOT, "IOParameters", "WeightClipParameter", "WeightModifierParameter", "MappingParameter",
    "PrePostProcessingParameter", "InputRangeParameter",
}  # fmt: skip
# Member -> value, as pickles have the one or the other.
_NOISE = {
    "NONE": "None", "ADD_NORMAL": "AddNormal", "ADD_NORMAL_PER_CHANNEL": "AddNormalPerChannel",
}  # fmt: skip
_QUANTIZATION = {
    "NONE": "None", "DISCRETIZE": "Discretize", "DISCRETIZE_PER_CHANNEL": "DiscretizePerChannel",
}  # fmt: skip
_ENUMS: dict[str, dict[str, str]] = {
    "WeightNoiseInjectionType": _NOISE,
    "WeightQuantizationType": _QUANTIZATION,
    "WeightModifierType": {
        **_NOISE,
        **_QUANTIZATION,
        "DISCRETIZE_ADD_NORMAL": "DiscretizeAddNormal",
        "DISCRETIZE_ADD_NORMAL_PER_CHANNEL": "DiscretizeAddNormalPerChannel",
    },
    "WeightClipType": {
        "NONE": "None",
        "LAYER_GAUSSIAN": "LayerGaussian",
        "LAYER_GAUSSIAN_PER_CHANNEL": "LayerGaussianPerChannel",
        "LEARNABLE_PER_CHANNEL": "LearnablePerChannel",
    },
}
_CLIPS: dict[str, Literal["none", "matrix", "column", "learned"]] = {
    "None": "none",
    "LayerGaussian": "matrix",
    "LayerGaussianPerChannel": "column",
    "LearnablePerChannel": "learned",
}
_GETATTR = {"builtins.getattr", "__builtin__.getattr"}  # how some Pythons pickle an enum's member
_MOST_BYTES = 1 << 20


def is_known(name: str) -> bool:
    """Whether a full name may stand in a configuration."""
    last = name.rpartition(".")[2]
    known = last in _CLASSES or last in _ENUMS
    return name in _GETATTR or (name.startswith(_PACKAGE) and known)


def read_rpu_config(file: Path) -> Training:
    """The configuration in a file that ``dill.dump`` wrote. Raises ModelError."""
    try:
        size = file.stat().st_size
        if size > _MOST_BYTES:
            raise ModelError(f"{file} has {size:,} bytes, too many for {WHAT}.")
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}.") from error
    return training_of(read_pickle(content, file, WHAT, is_known), file)


def training_in(metadata: Mapping[str, Any], file: Path) -> Training | None:
    """What the metadata of a state dict says, where it has configurations. Raises ModelError."""
    entries = [each for each in metadata.values() if isinstance(each, dict)]
    found = {training_of(each[RPU_CONFIG], file) for each in entries if RPU_CONFIG in each}
    if len(found) > 1:
        raise ModelError(
            f"{file} has layers of {len(found)} different configurations in its metadata: put the "
            f"one to go by beside it, as {RPU_CONFIG}, and save dict(model.state_dict())."
        )
    return next(iter(found), None)


def training_of(config: Any, file: Path | str) -> Training:
    """What a configuration stands for, of versions 1 and 2. Raises ModelError about `file`."""
    root = _Part(file, "", config, _ROOT)
    forward = root.part("forward", "IOParameters")
    clip = root.part("clip", "WeightClipParameter")
    modifier = root.part("modifier", "WeightModifierParameter")
    inputs = root.part("pre_post", "PrePostProcessingParameter").part(
        "input_range", "InputRangeParameter"
    )
    rows = root.part("mapping", "MappingParameter").number("max_input_size", -1)
    clipped = _CLIPS[clip.word("type", "WeightClipType")]
    # What version 1 has in one field, version 2 has in two; the one counts if it says anything.
    both = modifier.word("type", "WeightModifierType")
    noise = modifier.word("noise_type", "WeightNoiseInjectionType") if both == "None" else both
    steps = modifier.word("quantization_type", "WeightQuantizationType") if both == "None" else both
    noisy, quantised = "AddNormal" in noise, "Discretize" in steps
    bound, sigma = forward.number("out_bound", 0), clip.number("sigma", -1)
    enabled = inputs.flag("enable")
    resolution = modifier.number("res", 0)
    if quantised and resolution <= 0:
        raise ModelError(f"{file} quantises weights, but its modifier.res is {resolution:g}.")
    return Training(
        source=f"{RPU_CONFIG} of AIHWKIT-Lightning",
        input_steps=_steps(forward.number("inp_res", -1)),
        output_steps=_steps(forward.number("out_res", -1)),
        output_bound=bound if bound > 0 else None,
        output_range="column" if clipped in ("column", "learned") else "tile",
        ranges="none" if not enabled else "dynamic" if inputs.flag("dynamic") else "static",
        max_rows=int(rows) if rows > 0 else None,
        clip=clipped,
        clip_sigma=sigma if clipped in ("matrix", "column") else None,
        weight_noise=modifier.number("std_dev", 0) if noisy else 0.0,
        weight_noise_of=_scope(noise),
        weight_steps=max(resolution, 1 / resolution) if quantised else None,
        weight_steps_of=_scope(steps),
        output_noise=forward.number("out_noise", 0),
    )


@dataclass(frozen=True)
class _Part:
    """One of the nested configurations; what it does not say is as the library has it."""

    file: Path | str
    where: str
    value: Any
    kind: str

    def __post_init__(self) -> None:
        made, kind = self.value, self.kind
        if made is None:
            return
        if not isinstance(made, Made) or made.by.rpartition(".")[2] != kind or made.arguments:
            raise ModelError(f"{self.file} has no {kind} at {self.where or 'its top'}.")
        if not isinstance(made.state, dict | None):
            raise ModelError(f"{self.file} has no fields at {self.where or 'its top'}.")

    def _field(self, name: str) -> Any:
        return None if self.value is None else (self.value.state or {}).get(name)

    def _at(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def part(self, name: str, kind: str) -> _Part:
        return _Part(self.file, self._at(name), self._field(name), kind)

    def number(self, name: str, default: float) -> float:
        value = self._field(name)
        if value is None:
            return default
        if type(value) not in (int, float) or not abs(value) < 1e18:
            raise ModelError(f"{self.file} has no number at {self._at(name)}.")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._field(name)
        if not isinstance(value, bool | None):
            raise ModelError(f"{self.file} has neither true nor false at {self._at(name)}.")
        return bool(value)

    def word(self, name: str, kind: str) -> str:
        """The value of an enum's member."""
        value = self._field(name)
        if value is None:
            return "None"
        members = _ENUMS[kind]
        match value:
            case Made(by, (str(word),)) if by.endswith(f".{kind}") and word in members.values():
                return word
            case Made(by, (Named(of), str(word))) if (
                by in _GETATTR and of.endswith(f".{kind}") and word in members
            ):
                return members[word]
            case Made(_, (str(word),)):
                raise ModelError(f"{self.file} has '{shown(word)}' at {self._at(name)}.")
        raise ModelError(f"{self.file} has no {kind} at {self._at(name)}.")


def _steps(resolution: float) -> float | None:
    """Steps across a range; AIHWKIT has their number, their inverse, or none."""
    if resolution <= 0:
        return None
    return resolution if resolution > 1 else 1 / resolution


def _scope(word: str) -> Scope:
    return "column" if word.endswith("PerChannel") else "tile"
