"""Whatever the user hands over as a model, and the samples that come with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from afmc.data.samples import Samples, fitted, read_samples
from afmc.errors import OptionError, SampleError
from afmc.frontends.door import HUGGINGFACE, Reading, Source, Weights, list_frontends
from afmc.frontends.find import check_revision, resolve
from afmc.frontends.in_memory import from_module
from afmc.frontends.loaded import Loaded
from afmc.frontends.programs.modules import from_example, from_program

ExampleInputs = Tensor | Sequence[Tensor] | Samples | str | Path
"""One input, several, samples by name, or an ``.npz`` file."""

_READ_TEXT = (HUGGINGFACE, "gguf")
"""Frontends of language models alone, of which samples are refused before weights are read."""


def load(
    model: str | Path | nn.Module | ExportedProgram,
    example_inputs: ExampleInputs | None = None,
    *,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    weights: Weights = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> tuple[Loaded, Samples | None]:
    """A model that is ready, and its samples in the order and the types in which it reads them.

    Raises ModelError, SampleError or OptionError, in one sentence.
    """
    if revision is not None and not isinstance(model, str | Path):
        raise OptionError(
            f"--revision is for a model on the hub, but {type(model).__name__} is in memory: leave"
            " it out."
        )
    given = _read(example_inputs)
    if isinstance(model, ExportedProgram):
        loaded = from_program(model)
        if given is None and model.example_inputs is not None:
            given = _named(model.example_inputs[0])
    elif isinstance(model, nn.Module) and given is not None:
        loaded = from_example(model, [torch.tensor(each) for each in given.arrays.values()])
    elif isinstance(model, nn.Module):
        loaded = from_module(model, tokenizer, log=log)
    else:
        source = resolve(str(model))
        if given is not None and source.frontend in _READ_TEXT:
            raise _reads_text(source.name)
        loaded = load_source(source, Reading(revision, trust_remote_code, weights, log))
        if tokenizer is not None:
            loaded = replace(loaded, tokenizer=tokenizer)
    if given is None:
        return loaded, None
    if loaded.graph is None:
        raise _reads_text(loaded.name)
    inputs = loaded.graph.inputs
    if all(key.isdecimal() for key in given.arrays):  # by their places
        if len(given.arrays) != len(inputs):
            raise SampleError(
                f"{loaded.name} has {len(inputs)} inputs, but {len(given.arrays)} are given."
            )
        names = [each.name for each in inputs]
        arrays = dict(zip(names, given.arrays.values(), strict=True))
        given = replace(given, arrays=arrays)
    return loaded, fitted(given, inputs, loaded.name)


def load_source(source: Source, reading: Reading) -> Loaded:
    """A model from a file, a folder or the hub, by the frontend that found it.

    Raises ModelError, or OptionError for a revision of what is not on the hub.
    """
    check_revision(source, reading.revision)
    return list_frontends()[source.frontend].load(source, reading)


def _reads_text(name: str) -> OptionError:
    return OptionError(
        f"{name} is a language model: its input ranges are calibrated on a text (--text), not on "
        f"samples."
    )


def _read(example_inputs: ExampleInputs | None) -> Samples | None:
    if example_inputs is None or isinstance(example_inputs, Samples):
        return example_inputs
    if isinstance(example_inputs, str | Path):
        return read_samples(example_inputs)
    return _named([example_inputs] if isinstance(example_inputs, Tensor) else example_inputs)


def _named(tensors: Sequence[Any]) -> Samples:
    """By their places."""
    arrays: Mapping[str, Any] = {
        str(place): each.detach().cpu().numpy() for place, each in enumerate(tensors)
    }
    counts = {each.shape[0] if each.ndim else 0 for each in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise SampleError(
            "the first dimension of every example input must count samples, the same number in "
            "each, and at least one."
        )
    return Samples(arrays, name="example inputs")
