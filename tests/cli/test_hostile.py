"""What a stranger hands over: one sentence each, in seconds and in little memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import kept
import numpy as np
import pytest
import torch
from models import tiny_model
from sealed import seal

import afmc
from afmc.data.samples import read_samples
from afmc.data.text import read_text
from afmc.data.tokens import tokenise
from afmc.errors import AfmcError, ArtifactError
from afmc.evaluation.reading import load as read_validation
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.shapes import load_shapes
from afmc.hardware.conditions import conditions_of
from afmc.hardware.defects import load_defects
from afmc.program.folder import read_program
from afmc.targets import load_target

TARGET = load_target("ideal-512")


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def large(folder: Path) -> Path:
    (folder / "large.txt").touch()
    os.truncate(folder / "large.txt", 3 << 30)  # zeros that no disk holds
    return folder / "large.txt"


def deep(folder: Path) -> Path:
    (folder / "deep.json").write_text('{"a":' * 100_000)
    return folder / "deep.json"


def configuration(**values: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        file = folder / "config.json"
        file.write_text(json.dumps({"model_type": "llama", **values}))
        return file

    return write


def shapes(file: Path) -> object:
    return load_shapes(resolve(str(file), shapes_only=True))


CASES: list[tuple[Callable[[Path], object], Callable[[Path], Path], str]] = [
    (lambda f: read_text(f, "validation"), pipe, "pipe is a pipe or a device; name a file."),
    (lambda f: read_text(f, "validation"), lambda f: Path("/dev/zero"), "is a pipe or a device"),
    (lambda f: read_text(f, "validation"), large, "has 3,221,225,472 bytes, and at most "),
    (lambda f: load_defects(f, TARGET), pipe, "pipe is a pipe or a device; name a file."),
    (lambda f: load_defects(f, TARGET), large, "has 3,221,225,472 bytes, and at most "),
    (lambda f: load_target(f), pipe, "pipe is a pipe or a device; name a file."),
    (lambda f: load_target(f), large, "has 3,221,225,472 bytes, and at most "),
    (read_samples, pipe, "it is no file"),
    (read_validation, pipe, "it is no file"),
    (read_validation, deep, "it is more than 64 levels deep"),
    (
        shapes,
        configuration(num_hidden_layers=10**12),
        "1,000,000,000,000, and at most",
    ),
    (
        shapes,
        configuration(text_config={"n_layer": 10**400}),
        "n_layer a number of many digits",
    ),
    (lambda f: conditions_of(TARGET, probes=10**9), deep, "must be at most 65,536 probe inputs"),
    (lambda f: resolve("x" * 10_000_000), deep, "cannot be read (File name too long): give "),
    (lambda f: resolve("a\0b"), deep, "a\\x00b cannot be read (embedded null byte): give "),
    (lambda f: afmc.compile("demo", text="x" * 300, level=0), deep, "File name too long"),
]


@pytest.mark.parametrize(("use", "make", "sentence"), CASES)
def test_one_sentence(
    tmp_path: Path, use: Callable[[Path], object], make: Callable[[Path], Path], sentence: str
) -> None:
    given = make(tmp_path)
    with pytest.raises(AfmcError) as caught:
        use(given)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_a_compressed_table_of_thirty_million_rows(tmp_path: Path) -> None:
    folder = kept.write(tmp_path / "out")
    with np.load(folder / "blocks.npz") as stored:
        tables = {**stored, "blocks": np.zeros(30_000_000, np.int8)}
    np.savez_compressed(folder / "blocks.npz", **tables)
    with pytest.raises(ArtifactError, match="30,000,000 rows, and at most 16,777,216 are read"):
        read_program(seal(folder))


def test_a_long_text_is_not_tokenised_to_its_end() -> None:
    class Counting:
        read = 0

        def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
            Counting.read = len(text)
            return {"input_ids": [0] * len(text)}

    assert len(tokenise(Counting(), "a" * 10_000_000, 64)) == 64
    assert Counting.read < 10_000


class Strange:
    """A tokenizer with more tokens than any model."""

    pad_token_id = eos_token_id = 0

    def __call__(self, text: str, **_: object) -> dict[str, torch.Tensor | list[int]]:
        ids = [1_000_000] * 64
        return {"input_ids": torch.tensor([ids]) if "return_tensors" in _ else ids}


def test_a_tokenizer_of_another_model() -> None:
    module = tiny_model("llama")
    sentence = "the tokenizer gives token 1,000,000, but the model has "
    with pytest.raises(AfmcError, match=sentence):
        afmc.compile(module, "afm-512-projected", tokenizer=Strange(), level=0)
    model = afmc.compile(module, "ideal-512", tokenizer=Strange(), level=0)
    with pytest.raises(AfmcError, match=sentence):
        model.validate(tokens=64)
    with pytest.raises(AfmcError, match=sentence):
        model.run("hello")
