"""A .gguf file converted once into a Hugging Face folder, which then loads in a second."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

from afmc.common.cache import cache_dir
from afmc.common.files import finish
from afmc.common.install import install
from afmc.common.manifest import NAME, Made, read_manifest
from afmc.common.unchanged import difference_within
from afmc.common.unfinished import unfinished_folder
from afmc.common.version import VERSION
from afmc.errors import ModelError
from afmc.frontends.gguf.metadata import File, check_whole, complete
from afmc.frontends.quiet import quiet

_KIND = "conversion"


def converted(file: Path, sha256: str, log: Callable[[str], None]) -> Path:
    """Folder with config.json, model.safetensors (float32) and the tokenizer of a .gguf file.

    Made in ``cache_dir()/models/<sha256>`` on the first call, by way of an unfinished folder beside
    it that is renamed when it is complete, and again where that is no longer what was made. Raises
    ModelError where the file cannot be read, a package is missing or the cache cannot be written.
    """
    folder = cache_dir() / "models" / sha256
    broken = _broken(folder, log) if folder.is_dir() else None
    if folder.is_dir() and broken is None:
        return folder
    if find_spec("gguf") is None:
        raise ModelError(f'reading {file.name} needs the package gguf: run "{install("gguf")}".')
    if broken is not None:
        log(f"converting {file.name} again into {folder}, because {broken}")
    else:
        log(f"converting {file.name} once into {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(folder) as working:
            _convert(file, working)
            finish(working, Made(_KIND, file.name, "any target"), VERSION)
            if broken is not None:
                shutil.rmtree(folder)
            _rename(working, folder)
    except OSError as error:
        raise ModelError(
            f"{folder.parent} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a"
            " folder that can."
        ) from error
    return folder


def _broken(folder: Path, log: Callable[[str], None]) -> str | None:
    """Why a folder is not what a conversion left there, if it is not."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.made.kind != _KIND:
        return f"{folder / NAME} is missing or damaged"
    return difference_within(folder, manifest, "", log)


def _convert(file: Path, folder: Path) -> None:
    try:
        with quiet(), redirect_stderr(io.StringIO()):  # the conversion's own progress bar
            described = File(file)
            config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
            complete(config, described)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            module, report = AutoModelForCausalLM.from_pretrained(
                file.parent,
                config=config,
                gguf_file=file.name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
            )
            check_whole(module, set(report["missing_keys"]), described)
            module.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    except ModelError:
        raise
    except Exception as error:  # gguf and transformers raise nearly every type
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"{file} cannot be converted: it is truncated, damaged or of an architecture that"
            f" transformers does not read from GGUF ({first})."
        ) from error


def _rename(working: Path, folder: Path) -> None:
    try:
        working.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # otherwise another process was first, with the same content
            raise ModelError(f"{folder} cannot be written: {error.strerror}.") from error
