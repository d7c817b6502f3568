"""What is wrong with options and a model, found before its weights are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from afmc.data.text import Text
from afmc.data.tokens import check_known, tokenise
from afmc.errors import ModelError, OptionError, TextError, did_you_mean
from afmc.frontends.door import HUGGINGFACE, Source
from afmc.frontends.huggingface.shapes import load_shapes
from afmc.frontends.loaded import Loaded
from afmc.passes import Pass
from afmc.passes.partition import Partition


def check_patterns(passes: Sequence[Pass], module: nn.Module, name: str) -> None:
    """Raises OptionError for a pattern of matrices that matches no parameter of a language model.

    Which parameters are matrices is known after the export alone, so a pattern may still be refused
    by `afmc.passes.partition`.
    """
    patterns = patterns_in(passes)
    if not patterns:
        return
    known = sorted(set(_names(module)))
    for pattern in patterns:
        if not any(fnmatchcase(each, pattern) for each in known):
            raise OptionError(
                f"--digital {pattern!r} matches none of the matrices of {name}."
                f"{did_you_mean(pattern, known)}"
            )


def check_by_shapes(passes: Sequence[Pass], source: Source, trust_remote_code: bool) -> None:
    """Holds patterns against the model that a folder's configuration describes, without weights.

    Says nothing where there is no configuration, or where no model can be made from it: reading the
    model then says why.
    """
    file = _configuration(source) if patterns_in(passes) else None
    if file is None:
        return
    try:
        shapes = load_shapes(
            Source(source.name, HUGGINGFACE, file), trust_remote_code=trust_remote_code
        )
    except ModelError:
        return
    check_patterns(passes, shapes.module, source.name)


def check_text(loaded: Loaded, text: Text | None) -> None:
    """Raises TextError for a text that is too short to calibrate on, and ModelError for one whose
    tokens the model does not have."""
    if text is not None and loaded.graph is None and loaded.tokenizer is not None:
        ids = tokenise(loaded.tokenizer, text.content, 64)
        check_known(ids, loaded.config)
        if len(ids) < 2:
            raise TextError(f"the text {text.name} is too short to calibrate on.")


def patterns_in(passes: Sequence[Pass]) -> list[str]:
    """The patterns of matrices that stay digital."""
    return [each for step in passes if isinstance(step, Partition) for each in step.digital]


def _configuration(source: Source) -> Path | None:
    if source.frontend != HUGGINGFACE or source.path is None:
        return None
    return source.path / "config.json" if source.path.is_dir() else source.path


def _names(module: nn.Module) -> Iterable[str]:
    """What a pattern may call a parameter with rows and columns."""
    parameters = module.named_parameters(remove_duplicate=False)
    for name, parameter in (*parameters, *module.named_buffers()):
        if parameter.ndim < 2:
            continue
        module_path, _, last = name.rpartition(".")
        yield from (name, module_path, module_path.rpartition(".")[2])
        if parameter.ndim == 3:  # a bank of experts
            yield last
