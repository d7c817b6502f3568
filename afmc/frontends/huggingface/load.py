"""A model in memory, from a folder, the hub, a .gguf file or the user's own hands."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from afmc.common.cache import cache_dir
from afmc.common.memory import GIB, available_bytes
from afmc.errors import ModelError
from afmc.frontends.aihwkit_lightning.learned import fit, fits, read_learned, say_loose
from afmc.frontends.checkpoint.folder import (
    INPUT_RANGE,
    PICKLED,
    TRAINING_STATE,
    WEIGHT_CLIP,
    Header,
    check_folder,
    headers,
    read_json,
    training,
    weight_files,
)
from afmc.frontends.checkpoint.rpu_config import RPU_CONFIG
from afmc.frontends.checkpoint.tensors import read_bin
from afmc.frontends.door import HUGGINGFACE, Source, Weights
from afmc.frontends.find import sha256_of
from afmc.frontends.gguf.convert import converted
from afmc.frontends.huggingface.config import class_of, read_config
from afmc.frontends.huggingface.exported import read_kept
from afmc.frontends.huggingface.hub import download
from afmc.frontends.loaded import BYTES, Loaded, Log, check_finite, first_line
from afmc.frontends.on_disk import OnDisk, tensor_by_tensor
from afmc.frontends.quiet import quiet

_COMPILE = 2 * BYTES
"""That compiling takes for each weight in memory, besides what every compile takes; measured."""

_logger = logging.getLogger(__name__)

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "spiece.model",
    "sentencepiece.bpe.model", "vocab.json", "vocab.txt",
)  # fmt: skip
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", RPU_CONFIG)
_BESIDE = tuple(f".{name}" for name in (INPUT_RANGE, WEIGHT_CLIP, *TRAINING_STATE))
"""How tensors end that it puts beside weights."""
_GENERATION = "generation_config.json"


def load(
    source: Source,
    *,
    trust_remote_code: bool = False,
    revision: str | None = None,
    weights: Weights = "auto",
    log: Log = _logger.info,
) -> Loaded:
    """Read a model and its tokenizer in float32.

    `revision` is a branch, tag or commit of a hub id. `log` is told about slow steps and about
    what the checkpoint holds that the model does not use. Raises ModelError, in one sentence, for
    anything that would leave a weight unread, random or not finite.
    """
    if source.path is None:
        folder = download(source.name, revision, trust_remote_code, _FILES)
        if not any(folder.glob("*.safetensors")):
            more = (*_FILES, f"pytorch_model*{PICKLED.suffix}")
            folder = download(source.name, revision, trust_remote_code, more)
        check_folder(folder)
        sha256 = sha256_of(Source(source.name, HUGGINGFACE, folder))
    else:
        sha256 = sha256_of(source)
        folder = source.path
        if source.frontend == "gguf":
            folder = converted(source.path, sha256, log)
    if "quantization_config" in read_json(folder / "config.json"):
        raise ModelError(
            f"{folder} holds quantised weights (quantization_config in config.json): save it"
            " dequantised, in float32 or bfloat16."
        )
    config = read_config(folder / "config.json", trust_remote_code)
    held, trained_for, kept = headers(folder), training(folder), read_kept(folder)
    stay = _stay_on_disk(weights, folder, held, log)
    pickled: dict[str, torch.Tensor] = {}
    for file in weight_files(folder):
        if file.suffix == PICKLED.suffix:
            pickled |= read_bin(file)
    learned = read_learned(held, pickled)
    if (learned.ranges or trained_for) and _has_own_head(config, trust_remote_code, held):
        config.tie_word_embeddings = False
    module, on_disk = _read(folder, config, trust_remote_code, log, pickled, stay)
    wanted = fits(module, learned, trained_for, folder, log)
    if on_disk is None:
        check_finite(dict(module.named_parameters()), source.name)
        fit(module, wanted, log)
    else:
        check_finite(on_disk.as_stored, source.name)
        say_loose(sum(each.loose(on_disk[f"{path}.weight"]) for path, each in wanted.items()), log)
        on_disk.fit(wanted)
    tokenizer = _tokenizer(folder, trust_remote_code, log)
    return Loaded(
        module,
        tokenizer,
        config,
        source.name,
        sha256,
        folder,
        learned.ranges or kept.ranges,
        trained_for or kept.training,
        on_disk=on_disk,
    )


def _stay_on_disk(weights: Weights, folder: Path, held: Mapping[str, Header], log: Log) -> bool:
    """Whether the weights are left where they are. Raises ModelError where they cannot be."""
    needed = _COMPILE * sum(math.prod(header.shape) for header in held.values())
    if weights == "memory" or (weights == "auto" and needed < available_bytes()):
        return False
    first = next(iter(held.values())).file
    if first.suffix == PICKLED.suffix and weights == "auto":
        raise ModelError(
            f"{folder} takes about {needed / GIB:.1f} GiB of memory to compile, of which "
            f"{available_bytes() / GIB:.1f} are free: save it as safetensors "
            f"(model.save_pretrained(DIR)), of which weights are read one at a time."
        )
    if first.suffix == PICKLED.suffix:
        raise ModelError(
            f"{first} is read as a whole: weights stay on disk only in safetensors "
            f"(model.save_pretrained(DIR))."
        )
    log(f"weights stay on disk: in memory they would take about {needed / GIB:.1f} GiB")
    return True


def _has_own_head(config: Any, trust_remote_code: bool, held: Collection[str]) -> bool:
    """Whether tensors are stored apart that the architecture could tie to others.

    The conversion to analog layers gives each its own, whatever the configuration says.
    """
    tied = getattr(class_of(config, trust_remote_code), "_tied_weights_keys", None) or ()
    return all(name in held for name in tied)


def _read(
    folder: Path,
    config: Any,
    trust_remote_code: bool,
    log: Log,
    pickled: Mapping[str, torch.Tensor],
    stay: bool,
) -> tuple[torch.nn.Module, OnDisk | None]:
    """`pickled` are the weights of a folder that has no safetensors; with `stay` they stay on disk,
    and what has to be converted goes to a file in the cache as long as it is in use."""
    chosen = class_of(config, trust_remote_code)
    if pickled:
        chosen = _without_a_folder(chosen, config, folder)
    automatic = chosen in (AutoModel, AutoModelForCausalLM)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code} if automatic else {}
    scratch = _scratch() if stay else None
    if scratch is not None:
        options |= {"device_map": {"": "disk"}, "offload_folder": str(scratch)}
    try:
        with quiet(), tensor_by_tensor() if stay else nullcontext():
            module, report = chosen.from_pretrained(
                None if pickled else folder,
                config=config,
                state_dict=_of_model(pickled) if pickled else None,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in one sentence
                **options,
            )
    except Exception as error:  # transformers raises nearly every type
        raise ModelError(f"{folder} cannot be loaded ({first_line(error)}).") from error
    _check_report(report, folder, log)
    if pickled and (folder / _GENERATION).is_file():
        with quiet():
            module.generation_config = GenerationConfig.from_pretrained(folder)
    on_disk = None if scratch is None else OnDisk(module, scratch)
    return module.float().eval().requires_grad_(False), on_disk


def _scratch() -> Path:
    folder = cache_dir() / "models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder))
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that "
            f"can."
        ) from error


def _without_a_folder(chosen: Any, config: Any, folder: Path) -> Any:
    """The class itself, in the place of an automatic one, which looks into the folder."""
    if chosen not in (AutoModel, AutoModelForCausalLM):
        return chosen
    if type(config) not in chosen._model_mapping:
        raise ModelError(
            f"{folder} has weights for code of its own in PyTorch's format, which is not read for "
            f"such models: save it as safetensors."
        )
    found = chosen._model_mapping[type(config)]
    return found[0] if isinstance(found, list | tuple) else found


def _of_model(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(_BESIDE)}


def _check_report(report: Any, folder: Path, log: Log) -> None:
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{folder} lacks {_count(missing, 'weight')} that the model needs, first {missing[0]}."
        )
    if mismatched := sorted(report["mismatched_keys"], key=str):
        name, stored, wanted = mismatched[0]
        names = [key for key, *_ in mismatched]
        raise ModelError(
            f"{folder} has {_count(names, 'weight')} of another shape than config.json says, first"
            f" {name}: {list(stored)} instead of {list(wanted)}."
        )
    if errors := report["error_msgs"]:
        raise ModelError(f"{folder} cannot be loaded ({str(errors[0]).splitlines()[0]}).")
    if unused := sorted(k for k in report["unexpected_keys"] if not k.endswith(_BESIDE)):
        log(f"{folder} holds {_count(unused, 'tensor')} that the model does not use,"
            f" first {unused[0]}")  # fmt: skip


def _tokenizer(folder: Path, trust_remote_code: bool, log: Log) -> Any | None:
    """None where there is none, or where it needs what is not here: only text commands need it."""
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        return None
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers and transformers raise nearly every type
        log(f"the tokenizer in {folder} cannot be loaded: {first_line(error)}")
        return None


def _count(things: list[str], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")
