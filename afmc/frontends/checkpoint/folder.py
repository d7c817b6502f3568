"""A Hugging Face folder: which files hold its weights, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from afmc.common.progress import announced_after
from afmc.errors import ModelError
from afmc.frontends.checkpoint.archive import read_archive
from afmc.frontends.checkpoint.inert import shown
from afmc.frontends.checkpoint.rpu_config import RPU_CONFIG, is_known, read_rpu_config, training_in
from afmc.program.observed import Training

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Layout:
    """How one way to save a model names its files."""

    suffix: str
    kind: str
    """In words."""
    alone: str
    """The file of a model that is not sharded."""

    @property
    def index(self) -> str:
        """The file that says what is in which shard."""
        return f"{self.alone}.index.json"


SAFETENSORS = Layout(".safetensors", "safetensors", "model.safetensors")
PICKLED = Layout(".bin", "PyTorch", "pytorch_model.bin")
LAYOUTS = (SAFETENSORS, PICKLED)
"""In the order in which they are looked for."""
_SHARD = re.compile(r"pytorch_model-(\d{5})-of-(\d{5})\.bin")
_OTHERS = ("*.bin", "*.pt", "*.pth", "*.ckpt")

MAPPING = "afmc_mapping.json"
"""What ``afmc export --as huggingface`` puts beside the weights."""

INPUT_RANGE = "input_range"
WEIGHT_CLIP = "learnable_weight_clip"
# What AIHWKIT-Lightning keeps beside them for training.
TRAINING_STATE = ("input_range_update_idx", "x_min", "x_max")
_FLOATS = {"F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16"}
_OF_NUMBERS = ("weight", INPUT_RANGE, WEIGHT_CLIP)


@dataclass(frozen=True)
class Header:
    """What a file says of a tensor."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def check_folder(folder: Path) -> None:
    """Raise ModelError unless the folder has a config.json and whole weights that can be read.

    Only headers are read, so this takes no memory and no time worth mentioning.
    """
    check_config(folder)
    headers(folder)
    training(folder)


def headers(folder: Path) -> dict[str, Header]:
    """Every tensor of the folder's weight files by name. Raises ModelError."""
    found: dict[str, Header] = {}
    for file in weight_files(folder):
        for name, (dtype, shape) in _tensors(file).items():
            if name in found:
                raise ModelError(f"{file} has {shown(name)}, and so has {found[name].file.name}.")
            if name.rpartition(".")[2] in _OF_NUMBERS and dtype not in _FLOATS:
                raise ModelError(
                    f"{file} has {shown(name)} in {dtype}: save it dequantised, in float32, "
                    f"float16 or bfloat16."
                )
            found[name] = Header(file, dtype, shape)
    if not found:
        raise ModelError(f"{folder} has weight files without a tensor in them.")
    return found


def _tensors(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor in a file, by its header."""
    if file.suffix == PICKLED.suffix:
        archive = read_archive(file, is_known)
        return {name: (each.storage.dtype, each.shape) for name, each in archive.tensors.items()}
    try:
        with safe_open(file, framework="numpy") as tensors:
            views = {name: tensors.get_slice(name) for name in tensors.keys()}
            return {
                name: (view.get_dtype(), tuple(view.get_shape())) for name, view in views.items()
            }
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{file} is truncated or not a safetensors file ({_first_line(error)})."
        ) from error


def training(folder: Path) -> Training | None:
    """What the weights were trained for, where AIHWKIT-Lightning left that beside them."""
    file = folder / RPU_CONFIG
    if file.is_file():
        _check_inside(file, folder)
        return read_rpu_config(file)
    metadata: dict[str, Any] = {}
    files = weight_files(folder)
    for pickled in (each for each in files if each.suffix == PICKLED.suffix):
        metadata |= read_archive(pickled, is_known).metadata
    return training_in(metadata, files[0])


def check_config(folder: Path) -> Path:
    """The folder's config.json. Raises ModelError unless it is there and holds a JSON object."""
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError(f"{folder} has no config.json, so it is not a Hugging Face model folder.")
    read_json(file)
    return file


def check_model_type(file: Path) -> None:
    """Raises ModelError for a JSON file that says nothing of a model."""
    if not isinstance(read_json(file).get("model_type"), str):
        raise ModelError(f"{file} has no model_type, so it is not a transformers configuration.")


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights, sorted by name. Raises ModelError.

    Safetensors where they are there, else what ``torch.save`` wrote, with or without an index.
    """
    for layout in LAYOUTS:
        if (folder / layout.alone).is_file():
            return (_check_inside(folder / layout.alone, folder),)
        if (folder / layout.index).is_file():
            return _shards(folder, layout)
    if numbered := _numbered(folder):
        return numbered
    pickled = sorted(file.name for pattern in _OTHERS for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0]}), and a pickle can run code: save it"
            " as safetensors where you trust it (model.save_pretrained(DIR))."
        )
    names = ", ".join(name for layout in LAYOUTS for name in (layout.alone, layout.index))
    raise ModelError(f"{folder} has no weights: none of {names} is there.")


def hashed_files(folder: Path) -> list[Path]:
    """The files that say what the model is."""
    more = [folder / RPU_CONFIG] if (folder / RPU_CONFIG).is_file() else []
    return [folder / "config.json", *weight_files(folder), *more]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelError that names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {_first_line(error)}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} should hold a JSON object, not a {type(value).__name__}.")
    return value


def sha256_of_files(files: Iterable[Path], *, names: bool = True) -> str:
    """Hex digest over the files in the order given; `names` puts name and size before content."""
    digest = hashlib.sha256()
    tick = announced_after("hashing the model's files")
    for path in files:
        try:
            with path.open("rb") as file:
                if names:
                    digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    tick()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _shards(folder: Path, layout: Layout) -> tuple[Path, ...]:
    index = folder / layout.index
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"{index} has no weight_map.")
    files = []
    for name in sorted(set(map(str, named.values()))):
        said = shown(name)
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ModelError(f"{index} names '{said}', which is not a file name inside the folder.")
        if not name.endswith(layout.suffix):
            raise ModelError(f"{index} names '{said}', which is not a {layout.kind} file.")
        if not (folder / name).is_file():
            raise ModelError(f"{index} names '{said}', which is missing from the folder.")
        files.append(_check_inside(folder / name, folder))
    return tuple(files)


def _numbered(folder: Path) -> tuple[Path, ...]:
    """PyTorch's shards without an index; none if there are none."""
    files = sorted(file for file in folder.iterdir() if _SHARD.fullmatch(file.name))
    if not files:
        return ()
    total = files[0].stem.rpartition("-")[2]
    names = [f"pytorch_model-{number:05}-of-{total}.bin" for number in range(1, int(total) + 1)]
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(f"{folder} has {files[0].name}, but {name} is missing from it.")
    return tuple(_check_inside(folder / name, folder) for name in names)


def _check_inside(file: Path, folder: Path) -> Path:
    if not _stays_inside(file, folder):
        raise ModelError(f"{file} is a link that leaves the folder: put the file itself there.")
    return file


def _stays_inside(file: Path, folder: Path) -> bool:
    """The hub's cache links a snapshot's files to blobs beside it, within one repository."""
    real, home = file.resolve(), folder.resolve()
    if real.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and real.is_relative_to(home.parent.parent / "blobs")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
