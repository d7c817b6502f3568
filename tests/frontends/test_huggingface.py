"""What is loaded is what was saved, or one sentence says why not."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from models import tiny_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import logging

import afmc
from afmc.common.install import install
from afmc.errors import ModelError
from afmc.frontends.door import Source
from afmc.frontends.find import resolve
from afmc.frontends.gguf import convert
from afmc.frontends.huggingface import hub
from afmc.frontends.huggingface.load import load
from afmc.frontends.in_memory import from_module
from afmc.frontends.loaded import Loaded

Tiny = Callable[[str], nn.Module]
KEY = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def saved(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny llama in the folder `m` of the working directory."""
    monkeypatch.chdir(tmp_path)
    save(tiny("llama"), tmp_path / "m")
    return tmp_path / "m"


def save(module: nn.Module, folder: Path) -> None:
    logging.disable_progress_bar()
    with warnings.catch_warnings(action="ignore"):
        module.save_pretrained(folder)  # type: ignore[operator]  # transformers is untyped


def change(folder: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_every_architecture_comes_back(tmp_path: Path, architecture: str, tiny: Tiny) -> None:
    module = tiny(architecture)
    save(module, tmp_path / "m")
    loaded = load(resolve(str(tmp_path / "m")))
    assert type(loaded.module) is type(module)
    assert not loaded.module.training
    assert loaded.folder == tmp_path / "m"
    assert loaded.tokenizer is None
    expected = dict(module.named_parameters())
    for name, parameter in loaded.module.named_parameters():
        assert parameter.dtype == torch.float32 and not parameter.requires_grad
        torch.testing.assert_close(parameter, expected[name].detach(), rtol=0, atol=0)


def test_half_precision_becomes_float32(tmp_path: Path, tiny: Tiny) -> None:
    save(tiny("llama").bfloat16(), tmp_path / "m")
    loaded = load(resolve(str(tmp_path / "m")))
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}


def test_nothing_global_changes(saved: Path) -> None:
    def state() -> tuple[object, ...]:
        return (
            logging.get_verbosity(),
            logging.is_progress_bar_enabled(),
            are_progress_bars_disabled(),
        )

    before = state()
    load(resolve("m"))
    assert state() == before


def missing(weights: dict[str, Tensor]) -> None:
    del weights[KEY]
    del weights["model.norm.weight"]


def misshapen(weights: dict[str, Tensor]) -> None:
    weights[KEY] = torch.zeros(3, 5)


def not_finite(weights: dict[str, Tensor]) -> None:
    weights[KEY][0, :2] = torch.tensor([torch.nan, -torch.inf])


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (missing, f"m lacks 2 weights that the model needs, first {KEY}."),
        (
            misshapen,
            f"m has 1 weight of another shape than config.json says, first {KEY}:"
            " [3, 5] instead of [48, 32].",
        ),
        (not_finite, f"m has weights that are not finite: 2 of 1536 in {KEY}."),
    ],
)
def test_bad_weights(saved: Path, edit: Callable[[dict[str, Tensor]], None], sentence: str) -> None:
    change(saved, edit)
    with pytest.raises(ModelError) as error:
        load(resolve("m"))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "m holds quantised weights (quantization_config in config.json): save it dequantised,"
            " in float32 or bfloat16.",
        ),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}},
            "m brings its own code (auto_map in config.json): pass --trust-remote-code"
            " (trust_remote_code=True) if you trust it.",
        ),
        ({"model_type": "no-such"}, "m/config.json is not understood by transformers "),
    ],
)
def test_bad_configuration(saved: Path, entries: dict[str, object], sentence: str) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | entries))
    with pytest.raises(ModelError) as error:
        load(resolve("m"))
    assert str(error.value).startswith(sentence)


def test_unused_tensors_are_told(saved: Path) -> None:
    change(saved, lambda weights: weights.update(extra=torch.zeros(2)))
    lines: list[str] = []
    load(resolve("m"), log=lines.append)
    assert lines == ["m holds 1 tensor that the model does not use, first extra"]


def test_pickled_weights_of_the_hub_are_fetched_only_without_others(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most repositories that have both have twice the bytes."""
    module: Any = tiny("llama")
    module.config.save_pretrained(tmp_path)
    asked = []

    def pretend(name: str, *, allow_patterns: list[str], **options: object) -> str:
        asked.append("pytorch_model*.bin" in allow_patterns)
        assert "rpu_config" in allow_patterns
        if asked[-1]:
            torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", pretend)
    assert load(Source("some/model", "huggingface")).sha256
    assert asked == [False, True]
    save(module, tmp_path)
    load(Source("some/model", "huggingface"))
    assert asked == [False, True, False]


class TestFromModule:
    def test_shares_memory_and_changes_nothing(self, tiny: Tiny) -> None:
        module = tiny("llama").train()
        loaded = from_module(module, name="mine")
        assert module.training and next(module.parameters()).requires_grad
        assert not loaded.module.training
        theirs, ours = next(module.parameters()), next(loaded.module.parameters())
        assert not ours.requires_grad and ours.data_ptr() == theirs.data_ptr()
        assert (loaded.name, loaded.folder) == ("mine", None)

    def test_ties_stay_ties(self, tiny: Tiny) -> None:
        taken = from_module(tiny("llama")).module
        embedding = taken.get_parameter("model.embed_tokens.weight")
        assert taken.get_parameter("lm_head.weight") is embedding

    def test_other_types_become_float32(self) -> None:
        module = nn.Linear(2, 2).bfloat16()
        assert from_module(module).module.weight.dtype == torch.float32
        assert module.weight.dtype == torch.bfloat16

    def test_sha256_follows_the_values(self, tiny: Tiny) -> None:
        module = tiny("llama")
        before = from_module(module).sha256
        assert from_module(tiny("llama")).sha256 == before
        with torch.no_grad():
            module.get_parameter(KEY)[0, 0] += 1
        assert from_module(module).sha256 != before

    def test_meta_device_is_refused(self) -> None:
        module = nn.Linear(2, 2, device="meta")
        with pytest.raises(ModelError) as error:
            from_module(module)
        assert str(error.value) == (
            "Linear has tensors without values (device meta), first weight."
        )


class TestGguf:
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)

    def test_damaged(self, tmp_path: Path) -> None:
        pytest.importorskip("gguf", exc_type=ImportError)
        (tmp_path / "m.gguf").write_bytes(b"GGUF" + b"\3\0\0\0" + b"\1" * 40)
        with pytest.raises(ModelError) as error:
            load(resolve("m.gguf"))
        assert str(error.value).startswith(
            "m.gguf cannot be converted: it is truncated, damaged or of an architecture that"
            " transformers does not read from GGUF ("
        )
        assert list((tmp_path / "cache/afmc/models").iterdir()) == []

    def test_a_package_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(convert, "find_spec", lambda name: None)
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        with pytest.raises(ModelError) as error:
            load(resolve("m.gguf"))
        assert str(error.value) == (
            f'reading m.gguf needs the package gguf: run "{install("gguf")}".'
        )

    def test_cache_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cache").write_text("a file")
        monkeypatch.setattr(convert, "find_spec", lambda name: object())
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        with pytest.raises(ModelError) as error:
            load(resolve("m.gguf"))
        assert str(error.value) == (
            f"{tmp_path}/cache/afmc/models cannot be written (Not a directory):"
            " set XDG_CACHE_HOME to a folder that can."
        )

    def test_converted_once(
        self, tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def pretend(file: Path, folder: Path) -> None:
            save(tiny("llama"), folder)

        monkeypatch.setattr(convert, "find_spec", lambda name: object())
        monkeypatch.setattr(convert, "_convert", pretend)
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        lines: list[str] = []
        first = load(resolve("m.gguf"), log=lines.append)
        assert lines == [f"converting m.gguf once into {first.folder}"]
        monkeypatch.setattr(convert, "find_spec", lambda name: None)
        again = load(resolve("m.gguf"), log=lines.append)
        assert len(lines) == 1 and again.folder == first.folder
        assert first.folder is not None
        assert [path.name for path in first.folder.parent.iterdir()] == [first.sha256]

    @pytest.mark.parametrize("what", ["zeroed", "added", "unlisted"])
    def test_a_conversion_that_was_damaged_is_made_again(
        self, tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        def pretend(file: Path, folder: Path) -> None:
            save(tiny("llama"), folder)

        monkeypatch.setattr(convert, "find_spec", lambda name: object())
        monkeypatch.setattr(convert, "_convert", pretend)
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        folder = load(resolve("m.gguf")).folder
        assert folder is not None
        weights = folder / "model.safetensors"
        before = weights.read_bytes()
        if what == "zeroed":
            weights.write_bytes(before[:-500] + bytes(500))
            reason = f"{weights} was changed: its SHA-256 is not that of afmc_manifest.json"
        elif what == "added":
            (folder / "adapter_config.json").write_text("{}")
            reason = f"{folder}/adapter_config.json is not in afmc_manifest.json"
        else:
            (folder / "afmc_manifest.json").unlink()
            reason = f"{folder}/afmc_manifest.json is missing or damaged"
        lines: list[str] = []
        assert load(resolve("m.gguf"), log=lines.append).folder == folder
        assert lines == [f"converting m.gguf again into {folder}, because {reason}"]
        assert weights.read_bytes() == before
        assert not (folder / "adapter_config.json").exists()
        load(resolve("m.gguf"), log=lines.append)
        assert len(lines) == 1


@pytest.mark.real_model
def test_real_model(smollm2: Loaded) -> None:
    assert smollm2.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert sum(p.numel() for p in smollm2.module.parameters()) == 134_515_008
    assert smollm2.tokenizer is not None
    ids = smollm2.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        best = int(smollm2.module(ids).logits[0, -1].argmax())
    assert smollm2.tokenizer.decode([best]) == " Paris"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_are_written_in_the_type_that_they_came_in(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    module: Any = tiny_model("llama").to(dtype)
    module.save_pretrained(tmp_path / "source")
    model = afmc.compile(tmp_path / "source", "ideal-512", level=0)
    model.save(tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert {each.dtype for each in tensors.values()} == {dtype}
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == str(dtype).removeprefix("torch.")
    again = afmc.load(tmp_path / "out").digital.state_dict()
    for name, tensor in model.digital.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, again[name])
