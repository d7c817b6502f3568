"""Weights that stay on disk give the same program, and the same model beside it."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from checkpoints import write_checkpoint
from models import tiny_model, tiny_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig

import afmc
from afmc.compiled_model import CompiledModel
from afmc.data.text import Text
from afmc.errors import ModelError, OptionError
from afmc.frontends.door import Weights
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load
from afmc.frontends.loaded import BYTES

TEXT = Text("text", "the cat sat on the mat and the dog on the log " * 40)
TOKENS = torch.randint(0, 60, (2, 16), generator=torch.Generator().manual_seed(3))
SHARD = "15KB"


def saved(architecture: str, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """In several shards, with a tokenizer."""
    module: Any = tiny_model(architecture).to(dtype)
    module.save_pretrained(folder, max_shard_size=SHARD)
    tiny_tokenizer().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def both(source: Path, place: Path, target: str, **options: Any) -> tuple[CompiledModel, ...]:
    models = []
    for weights in get_args(Weights)[1:]:
        model = afmc.compile(source, target, text=TEXT, weights=weights, **options, level=0)
        model.save(place / weights)
        models.append(model)
    return tuple(models)


def same_tensors(one: Path, other: Path) -> bool:
    first, second = (
        load(resolve(str(each / "model"))).module.state_dict() for each in (one, other)
    )
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("llama", "hermes-64"),
        ("gpt2", "afm-512-projected"),  # weights the other way round
        ("gemma3", "afm-512-projected"),  # a buffer with a value
        ("mixtral", "hermes-64"),  # experts are put together
        ("qwen2", "afm-512-projected"),  # biases
    ],
)
def test_the_program_is_the_same(architecture: str, target: str, tmp_path: Path) -> None:
    source = saved(architecture, tmp_path / "source")
    both(source, tmp_path, target)
    for file in ("program.json", "blocks.npz"):
        assert (tmp_path / "memory" / file).read_bytes() == (tmp_path / "disk" / file).read_bytes()
    assert same_tensors(tmp_path / "memory", tmp_path / "disk")


def test_stuck_cells_are_repaired_alike(tmp_path: Path) -> None:
    source = saved("mixtral", tmp_path / "source")
    both(source, tmp_path, "afm-512-projected", defects="cells_off=0.01,cells_on=0.01,seed=3")
    for file in ("program.json", "blocks.npz"):
        assert (tmp_path / "memory" / file).read_bytes() == (tmp_path / "disk" / file).read_bytes()


def test_what_was_trained_for_is_done_to_the_weights(tmp_path: Path) -> None:
    """Learned limits clip and weights are rounded, also where they are read one at a time."""
    pytest.importorskip("aihwkit_lightning", reason="pip install aihwkit-lightning==2.1.0")
    from aihwkit_lightning.simulator.configs import WeightClipType
    from analog_checkpoints import configuration, converted, save

    config = configuration(
        mapping__max_input_size=20, clip__type=WeightClipType.LEARNABLE_PER_CHANNEL
    )
    source = save(converted(config), config, tmp_path / "source", "safetensors")
    said: dict[Weights, list[str]] = {"memory": [], "disk": []}
    for weights, lines in said.items():

        def log(line: str, done: int, of: int, lines: list[str] = lines) -> None:
            lines.append(line)

        model = afmc.compile(source, weights=weights, progress=log, level=0)
        model.save(tmp_path / weights)
    program = "program.json"
    assert (tmp_path / "memory" / program).read_bytes() == (
        tmp_path / "disk" / program
    ).read_bytes()
    assert same_tensors(tmp_path / "memory", tmp_path / "disk")
    name = "model.layers.0.mlp.up_proj.weight"
    before = load_file(source / "model.safetensors")[name].float()
    after = load_file(tmp_path / "disk" / "model" / "model.safetensors")[name]
    assert (after.abs() < before.abs() * (1 + 1e-6)).all() and not torch.allclose(after, before)
    loose = [[line for line in lines if "learned limit" in line] for lines in said.values()]
    assert loose[0] == loose[1]


def test_what_fits_can_be_simulated(tmp_path: Path) -> None:
    """The weights are read when they are needed, and then the model is that in memory."""
    source = saved("llama", tmp_path / "source", torch.float32)
    memory, disk = both(source, tmp_path, "hermes-64")
    assert {p.device.type for p in disk._loaded.module.parameters()} == {"meta"}  # type: ignore[union-attr]
    found = []
    for model in (memory, disk):
        with torch.inference_mode():
            module, digital = model.write(seed=1), model.digital(input_ids=TOKENS).logits
            graph = model.graph()(TOKENS)
            found.append((digital, module(input_ids=TOKENS).logits, graph))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    first, second = (
        each.validate(TEXT, tokens=64, window=32, instances=1).outcomes for each in (memory, disk)
    )
    assert first == second


def test_what_does_not_fit_stays_on_disk_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved("llama", tmp_path / "source")
    said: list[str] = []
    monkeypatch.setattr("afmc.frontends.huggingface.load.available_bytes", lambda: 1000)
    model = afmc.compile(source, text=TEXT, progress=lambda line, *_: said.append(line), level=0)
    assert "weights stay on disk: in memory they would take about 0.0 GiB" in said
    model.save(tmp_path / "out")
    monkeypatch.setattr("afmc.lower.on_tiles.available_bytes", lambda: 1000)
    again = afmc.load(tmp_path / "out")
    held = again.program.model.parameters
    on_tiles = sum(matrix.weights for matrix in again.program.analog)
    for simulate in (again.validate, lambda: again.run("the cat"), again.write):
        with pytest.raises(ModelError) as error:
            simulate()
        assert str(error.value) == (
            f"simulating {source} takes at least 0.0 GiB of memory ({held:,} weights, and "
            f"{on_tiles:,} on tiles, in 32-bit floating point), but 0.0 GiB are free: use a "
            f"machine with more, or a smaller model of its family."
        )
    assert again.inspect()["blocks"] == len(again.program.blocks)


def test_pickled_weights_do_not_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved("llama", tmp_path / "source")
    module = AutoModelForCausalLM.from_pretrained(source)
    for file in source.glob("*.safetensors*"):
        file.unlink()
    torch.save(module.state_dict(), source / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is read as a whole: weights stay on disk only in"):
        afmc.compile(source, "ideal-512", weights="disk", level=0)
    monkeypatch.setattr("afmc.frontends.huggingface.load.available_bytes", lambda: 1000)
    with pytest.raises(ModelError, match=r"takes about 0\.0 GiB of memory to compile, of which"):
        afmc.compile(source, "ideal-512", level=0)
    assert afmc.compile(source, "ideal-512", weights="memory", level=0).program.analog


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"weights": "disk"},
            "--weights disk: LlamaForCausalLM is read as a whole; weights stay on disk where they "
            "are safetensors of a language model's folder or hub id.",
        ),
        (
            {"weights": "disk", "shapes_only": True},
            "--shapes-only reads no weights, so they are not in disk: leave one out.",
        ),
        ({"weights": "disc"}, "weights is one of auto, memory, disk, not 'disc'."),
    ],
)
def test_weights_that_cannot_stay_on_disk(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as error:
        afmc.compile(tiny_model("llama"), "ideal-512", **options, level=0)
    assert str(error.value) == sentence


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    module: Any = tiny_model("llama")
    torch.nn.init.constant_(module.model.layers[1].mlp.up_proj.weight[0, 3:5], math.nan)
    module.save_pretrained(tmp_path / "source", max_shard_size=SHARD)
    sentences = []
    for weights in get_args(Weights)[1:]:
        with pytest.raises(ModelError, match="not finite: 2 of") as error:
            afmc.compile(tmp_path / "source", "ideal-512", weights=weights, level=0)
        sentences.append(str(error.value))
    assert sentences[0] == sentences[1]


def test_what_had_to_be_converted_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Experts that are stored one by one go to a file in the cache for as long as they are used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = saved("mixtral", tmp_path / "source")
    model = afmc.compile(source, "ideal-512", weights="disk", level=0)
    kept = list((tmp_path / "cache").rglob("*.safetensors"))
    assert len(kept) == sum(matrix.copies > 1 for matrix in model.program.matrices)
    del model
    gc.collect()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved("llama", tmp_path / "source")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be written .*: set XDG_CACHE_HOME"):
        afmc.compile(source, "ideal-512", weights="disk", level=0)


def test_memory_is_that_of_some_tensors(tmp_path: Path) -> None:
    """236 million weights are compiled and written in less than half of what they would be."""
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=5504,
        num_hidden_layers=4,
        num_attention_heads=16,
        num_key_value_heads=16,
        vocab_size=8192,
    )
    parameters = write_checkpoint(config, tmp_path / "source", shard_bytes=2**28)
    afmc_ = Path(sys.executable).with_name("afmc")
    subprocess.run(
        [afmc_, "compile", "-O0", tmp_path / "source", "--weights", "disk", "-t", "ideal-512",
         "-o", tmp_path / "out"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    peak = json.loads((tmp_path / "out" / "compile.json").read_text())["peak_rss_mb"] * 2**20
    alone = 650 * 2**20  # what imports take
    assert peak < alone + BYTES * parameters / 2
    written = sum(file.stat().st_size for file in (tmp_path / "out" / "model").iterdir())
    assert written == pytest.approx(2 * parameters, rel=0.01)  # bfloat16, as it was stored
