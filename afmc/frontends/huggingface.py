"""A model in memory, from a folder, the hub, a .gguf file or the user's own hands."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from afmc.errors import ModelError, did_you_mean
from afmc.frontends.analog_layers import find_layers, make_plain, read_layers
from afmc.frontends.cache import cache_dir
from afmc.frontends.convert import converted
from afmc.frontends.folder import (
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
from afmc.frontends.graph import Graph
from afmc.frontends.lightning import Learned, fit, fits, read_learned, say_loose
from afmc.frontends.mapped import read_kept
from afmc.frontends.on_disk import OnDisk, tensor_by_tensor
from afmc.frontends.quiet import quiet
from afmc.frontends.rpu_config import RPU_CONFIG
from afmc.frontends.source import KNOWN, Source, sha256_of
from afmc.frontends.tensors import read_bin
from afmc.ir import Training
from afmc.memory import GIB, available_bytes

Weights = Literal["auto", "memory", "disk"]
"""Where weights are while a model is compiled; by itself on disk where they are too large."""

BYTES = 4
"""Of a weight in float32."""
_COMPILE = 2 * BYTES
"""That compiling takes for each weight in memory, besides what every compile takes; measured."""
_SHARD = "500MB"

Log = Callable[[str], None]
_logger = logging.getLogger(__name__)

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "spiece.model",
    "sentencepiece.bpe.model", "vocab.json", "vocab.txt",
)  # fmt: skip
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", RPU_CONFIG)
_WRAPPED = "AnalogWrapper"  # what AIHWKIT-Lightning puts before the name of a class
_BESIDE = tuple(f".{name}" for name in (INPUT_RANGE, WEIGHT_CLIP, *TRAINING_STATE))
"""How tensors end that it puts beside weights."""
_GENERATION = "generation_config.json"
_HUB_TIMEOUT_S = 10.0
_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model that is ready to be exported."""

    module: torch.nn.Module
    """In evaluation mode, float32, without gradients; where the weights stay on disk, on the meta
    device."""
    tokenizer: Any | None
    """None where the model came without one."""
    config: Any
    """The transformers configuration, or None for a module that has none."""
    name: str
    """As the user wrote it."""
    sha256: str
    """Of the weight files, or of the tensors for a module that came in memory."""
    folder: Path | None
    """The folder it was read from; None for a module that came in memory."""
    input_ranges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Half widths of input converters' ranges that the checkpoint brought along, by module: one for
    each row slice that it was trained with."""
    training: Training | None = None
    """What hardware the checkpoint says that it was trained for."""
    graph: Graph | None = None
    """Of a model that is no language model of transformers."""
    on_disk: OnDisk | None = None
    """The weights, where they are not in memory."""

    def running(self, module: torch.nn.Module) -> torch.nn.Module:
        """A module that shares the parameters of this one, and can be called."""
        if self.on_disk is not None:
            self.on_disk.serve(module)
        return module

    def hollow(self) -> torch.nn.Module:
        """The module with room for all weights, none of which is used: memory that nobody writes to
        is not taken. On the meta device some operators are others.
        """
        held: dict[int, Any] = {
            id(each): torch.nn.Parameter(torch.empty_like(each, device="cpu"), requires_grad=False)
            for each in self.module.parameters()
        }
        held |= {id(each): each for each in self.module.buffers()}
        return copy.deepcopy(self.module, held)

    def value(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        """What a parameter of the module holds."""
        return parameter if self.on_disk is None else self.on_disk[self.on_disk.name_of(parameter)]

    def bank(self, parameter: torch.nn.Parameter) -> torch.Tensor | Sequence[torch.Tensor]:
        """What a parameter of a bank of experts holds for each."""
        return parameter if self.on_disk is None else self.on_disk.bank(parameter)

    def in_memory(self) -> Loaded:
        """With all weights in the module."""
        if self.on_disk is not None:
            self.on_disk.fill(self.module)
        return replace(self, on_disk=None)

    def save(self, folder: Path) -> None:
        """Writes model and tokenizer so that they can be read again. Raises ModelError."""
        if self.graph is not None:
            self.graph.write(folder)
        elif self.on_disk is not None:
            with self.on_disk.offered(self.module):
                save(self.module, self.tokenizer, folder, max_shard_size=_SHARD)
        elif hasattr(self.module, "save_pretrained"):
            save(self.module, self.tokenizer, folder)
        else:
            raise ModelError(
                f"{self.name} is not a model of transformers, so it cannot be saved: compile it "
                f"with example_inputs."
            )


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
    if source.kind == "hub":
        folder = download(source.name, revision, trust_remote_code, _FILES)
        if not any(folder.glob("*.safetensors")):
            more = (*_FILES, f"pytorch_model*{PICKLED.suffix}")
            folder = download(source.name, revision, trust_remote_code, more)
        check_folder(folder)
        sha256 = sha256_of(Source(source.name, "folder", folder))
    else:
        if source.path is None:
            raise ModelError(f"{source.name} has no path.")
        sha256 = sha256_of(source)
        folder = source.path
        if source.kind == "gguf":
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


def from_module(
    module: torch.nn.Module,
    tokenizer: Any | None = None,
    name: str | None = None,
    log: Log = _logger.info,
) -> Loaded:
    """A module that the user already has, perhaps on AIHWKIT-Lightning's layers.

    The module itself is not changed: the result holds a copy in evaluation mode whose float32
    tensors share memory with the original, so do not train the original on while it is in use.
    Raises ModelError where it cannot be copied, or has tensors without values.
    """
    config = getattr(module, "config", None)
    if name is None:
        name = getattr(config, "name_or_path", None) or name_of_class(module)
    tensors = {id(tensor): _frozen(tensor) for _, tensor in _tensors(module)}
    try:
        taken = copy.deepcopy(module, tensors)
    except Exception as error:  # a module may hold anything
        raise ModelError(f"{name} cannot be copied ({_first_line(error)}).") from error
    held = list(_tensors(module))
    layers = find_layers(taken, name)
    learned, trained_for = read_layers(layers, name) if layers else (Learned(), None)
    make_plain(taken, layers)
    if trained_for is not None:
        said = bytearray(repr(trained_for).encode())
        held.append((RPU_CONFIG, torch.frombuffer(said, dtype=torch.uint8)))
    sha256 = sha256_of_tensors(held, name)
    taken = taken.float().eval()
    check_finite(dict(taken.named_parameters()), name)
    if not layers:
        return Loaded(taken, tokenizer, config, name, sha256, None)
    config = getattr(taken, "config", None)
    tied = getattr(taken, "_tied_weights_keys", None) or ()
    parameters = dict(taken.named_parameters())
    if config is not None and all(key in parameters for key in tied):
        config.tie_word_embeddings = False
    fit(taken, fits(taken, learned, trained_for, name, log), log)
    return Loaded(taken, tokenizer, config, name, sha256, None, learned.ranges, trained_for)


def name_of_class(module: torch.nn.Module) -> str:
    """Without what AIHWKIT-Lightning puts before it."""
    return type(module).__name__.removeprefix(_WRAPPED)


def download(
    name: str, revision: str | None, trust_remote_code: bool, files: Sequence[str]
) -> Path:
    """The hub's snapshot folder; HF_HOME, HF_HUB_OFFLINE and HF_TOKEN act as they always do."""
    try:
        with quiet():
            folder = snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*files, "*.py"] if trust_remote_code else list(files),
                ignore_patterns=["*/*", "consolidated*.safetensors", "*.fp16.*"],
                etag_timeout=_HUB_TIMEOUT_S,
            )
    except Exception as error:  # httpx, OSError and the hub's own, by turns
        raise ModelError(_why_not_there(name, revision, error)) from error
    return Path(folder)


def _why_not_there(name: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return (
            f"{name} is gated: ask for access on its page on the hub, and set HF_TOKEN to a token"
            " that has it."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no revision '{revision}' on the hub: give a branch, tag or commit."
    at = f" at revision '{revision}'" if revision else ""
    if constants.HF_HUB_OFFLINE:
        why = (
            f"it is not in the hub's cache {constants.HF_HUB_CACHE}{at}, while HF_HUB_OFFLINE"
            " forbids to ask the hub"
        )
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub has no such model, or none that HF_TOKEN opens"
    else:
        why = f"the hub could not be reached or has no such model{at} ({_first_line(error)})"
    hint = did_you_mean(name.lower(), KNOWN)
    return f"{name} is neither a file nor a folder here nor a known name, and {why}.{hint}"


def read_config(file: Path, trust_remote_code: bool) -> Any:
    """A transformers configuration. Raises ModelError, in one sentence."""
    raw = read_json(file)
    alone = file.name != "config.json"
    place = file if alone else file.parent
    try:
        with quiet():
            return AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises nearly every type
        if "auto_map" in raw and alone:
            raise ModelError(
                f"{file} brings its own code (auto_map), which is looked for beside a config.json:"
                " give the folder that holds both."
            ) from error
        if "auto_map" in raw and not trust_remote_code:
            raise ModelError(
                f"{place} brings its own code (auto_map in config.json): pass"
                " --trust-remote-code (trust_remote_code=True) if you trust it."
            ) from error
        raise ModelError(
            f"{file} is not understood by transformers"
            f" {transformers.__version__} ({cause_of(error)})."
        ) from error


def class_of(config: Any, trust_remote_code: bool) -> Any:
    """The class that the checkpoint was saved from, else the nearest automatic one."""
    causal = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if trust_remote_code and causal:
        return AutoModelForCausalLM
    for name in (getattr(config, "architectures", None) or [])[:1]:
        found = getattr(transformers, str(name).removeprefix(_WRAPPED), None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    if type(config) in AutoModelForCausalLM._model_mapping:
        return AutoModelForCausalLM
    return AutoModel


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
        raise ModelError(f"{folder} cannot be loaded ({_first_line(error)}).") from error
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


def check_finite(weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Raises ModelError for a weight that is no number."""
    for key in weights:
        bad, of = _not_finite(weights[key])
        if bad:
            raise ModelError(f"{name} has weights that are not finite: {bad} of {of} in {key}.")


def _not_finite(tensor: torch.Tensor) -> tuple[int, int]:
    """How many values, and of how many."""
    if not tensor.is_floating_point() or not tensor.numel():
        return 0, tensor.numel()
    if all(math.isfinite(end) for end in torch.aminmax(tensor.detach())):  # needs no memory
        return 0, tensor.numel()
    return tensor.numel() - int(torch.isfinite(tensor).sum()), tensor.numel()


def _tokenizer(folder: Path, trust_remote_code: bool, log: Log) -> Any | None:
    """None where there is none, or where it needs what is not here: only text commands need it."""
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        return None
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers and transformers raise nearly every type
        log(f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}")
        return None


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _frozen(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory without a gradient."""
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(tensor.detach(), requires_grad=False)
    return tensor.detach()


def sha256_of_tensors(tensors: Iterable[tuple[str, torch.Tensor]], name: str) -> str:
    """Over names, shapes, dtypes and bytes. Raises ModelError for tensors without values."""
    digest = hashlib.sha256()
    for key, tensor in tensors:
        if tensor.is_meta:
            raise ModelError(f"{name} has tensors without values (device meta), first {key}.")
        digest.update(f"{key}\0{list(tensor.shape)}\0{tensor.dtype}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        for start in range(0, len(flat), _BYTES):
            digest.update(flat[start : start + _BYTES].numpy().data)
    return digest.hexdigest()


def _count(things: list[str], noun: str) -> str:
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")


def cause_of(error: BaseException) -> str:
    """What transformers says is wrong: the first line, or the one below its heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return re.sub(r"^\w+Error: ", "", lines[1]).rstrip(".")
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def save(module: Any, tokenizer: Any | None, folder: Path, **options: Any) -> None:
    """A Hugging Face folder that `load` reads: configuration, safetensors, tokenizer."""
    with quiet():
        module.save_pretrained(folder, **options)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
