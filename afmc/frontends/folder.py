"""A Hugging Face folder: which files hold its weights, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from afmc.errors import ModelError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CHUNK = 1 << 22

INPUT_RANGE = "input_range"
# What AIHWKIT-Lightning keeps beside it for training.
TRAINING_STATE = ("input_range_update_idx", "x_min", "x_max")


def check_folder(folder: Path) -> None:
    """Raise ModelError unless the folder has a config.json and whole safetensors weights.

    Only headers are read, so this takes no memory and no time worth mentioning.
    """
    check_config(folder)
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{file} is truncated or not a safetensors file ({_first_line(error)})."
            ) from error


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
    """The safetensors files that hold the weights, sorted by name. Raises ModelError."""
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickled = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0]}), and a pickle can run code: save it"
            " as safetensors where you trust it (model.save_pretrained(DIR))."
        )
    raise ModelError(f"{folder} has no weights: neither {WEIGHTS} nor {INDEX} is there.")


def input_ranges(folder: Path) -> dict[str, float]:
    """Input ranges that a hardware-aware training left beside the weights, by module.

    AIHWKIT-Lightning stores ``MODULE.input_range``, one value for each row slice that it was
    trained with. Raises ModelError where the slices of one module differ, or a range is not a
    positive number.
    """
    found: dict[str, float] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():
                module, _, last = name.rpartition(".")
                if last != INPUT_RANGE:
                    continue
                values = {float(value) for value in tensors.get_tensor(name).reshape(-1)}
                if len(values) != 1 or not 0 < min(values) < float("inf"):
                    raise ModelError(
                        f"{file} has {len(values)} different input ranges in {name}, from "
                        f"{min(values):g} to {max(values):g}: one positive range is read now."
                    )
                found[module] = values.pop()
    return found


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
    for path in files:
        try:
            with path.open("rb") as file:
                if names:
                    digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _shards(folder: Path) -> tuple[Path, ...]:
    index = folder / INDEX
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"{index} has no weight_map.")
    files = []
    for name in sorted(set(map(str, named.values()))):
        file = folder / name
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ModelError(f"{index} names '{name}', which is not a file name inside the folder.")
        if not name.endswith(".safetensors"):
            raise ModelError(f"{index} names '{name}', which is not a safetensors file.")
        if not file.is_file():
            raise ModelError(f"{index} names '{name}', which is missing from the folder.")
        if not _stays_inside(file, folder):
            raise ModelError(f"{index} names '{name}', a link that leaves the folder.")
        files.append(file)
    return tuple(files)


def _stays_inside(file: Path, folder: Path) -> bool:
    """The hub's cache links a snapshot's files to blobs beside it, within one repository."""
    real, home = file.resolve(), folder.resolve()
    if real.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and real.is_relative_to(home.parent.parent / "blobs")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
