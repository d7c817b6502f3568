"""Models from their configurations alone, and what a configuration may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from models import SIZES, tiny_model
from torch import nn

from afmc.errors import ModelError
from afmc.frontends.door import Source
from afmc.frontends.find import resolve, sha256_of
from afmc.frontends.huggingface import hub
from afmc.frontends.huggingface.shapes import load_shapes, shapes_of
from afmc.frontends.loaded import Loaded

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SIZES}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 60}

PARAMETERS = {
    "smollm2-135m": 134_515_008,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "qwen2.5-0.5b": 494_032_768,
    "llama-3.2-1b": 1_235_814_400,
    "phi-3-mini": 3_821_079_552,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v3": 671_026_404_352,
    "one-trillion": 1_026_408_209_408,
}


def read(path: Path, **entries: Any) -> Loaded:
    path.write_text(json.dumps(entries))
    return load_shapes(resolve(str(path), shapes_only=True))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_configuration_of_the_examples_is_here() -> None:
    assert {file.stem for file in CONFIGS.glob("*.json")} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_public_models(name: str) -> None:
    loaded = load_shapes(resolve(str(CONFIGS / f"{name}.json"), shapes_only=True))
    assert parameters(loaded.module) == PARAMETERS[name]


def test_what_a_configuration_gives(tmp_path: Path) -> None:
    file = tmp_path / "any.json"
    loaded = read(file, **LLAMA, dtype="bfloat16", quantization_config={"quant_method": "fp8"})
    assert type(loaded.module) is transformers.LlamaForCausalLM
    assert not loaded.module.training
    assert (loaded.name, loaded.tokenizer, loaded.folder) == (str(file), None, None)
    assert loaded.sha256 == sha256_of(Source("", "huggingface", file))
    for parameter in loaded.module.parameters():
        assert parameter.is_meta and parameter.dtype == torch.float32
        assert not parameter.requires_grad


def test_without_architectures_it_is_a_language_model(tmp_path: Path) -> None:
    assert type(read(tmp_path / "any.json", **GPT2).module) is transformers.GPT2LMHeadModel


def test_of_a_hub_id_the_configuration_alone_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot(name: str, **options: Any) -> str:
        asked.update(name=name, files=options["allow_patterns"], revision=options["revision"])
        (tmp_path / "config.json").write_text(json.dumps(LLAMA))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    loaded = load_shapes(resolve("someone/llama", shapes_only=True), revision="v1")
    assert asked == {"name": "someone/llama", "files": ["config.json"], "revision": "v1"}
    whole = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    assert (loaded.name, parameters(loaded.module)) == ("someone/llama", parameters(whole))


def test_a_module_in_memory_without_its_weights() -> None:
    module = tiny_model("llama")
    taken = shapes_of(module).module
    assert all(parameter.is_meta for parameter in taken.parameters())
    assert parameters(taken) == parameters(module)
    assert taken.lm_head.weight is taken.model.embed_tokens.weight  # type: ignore[union-attr]
    assert not any(parameter.is_meta for parameter in module.parameters())
    assert shapes_of(module).sha256 == shapes_of(tiny_model("llama")).sha256
    assert shapes_of(module).sha256 != shapes_of(tiny_model("qwen2")).sha256
    assert shapes_of(taken).sha256 == shapes_of(module).sha256


TRANSFORMERS = f"transformers {transformers.__version__}"
OWN_CODE = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}

BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "any.json has no model_type, so it is not a transformers configuration."),
    ({"model_type": 3}, "any.json has no model_type, so it is not a transformers configuration."),
    (
        {"model_type": "unheard-of"},
        f"any.json is not understood by {TRANSFORMERS} (The checkpoint you are trying to load has "
        "model type `unheard-of` but Transformers does not recognize this architecture. This could "
        "be because of an issue with the checkpoint, or because your version of Transformers is "
        "out of date).",
    ),
    (
        {"model_type": "own", **OWN_CODE},
        "any.json brings its own code (auto_map), which is looked for beside a config.json: give "
        "the folder that holds both.",
    ),
    (
        {**LLAMA, "num_hidden_layers": 0},
        "any.json has num_hidden_layers 0: it must be at least 1.",
    ),
    ({**GPT2, "n_layer": 0}, "any.json has n_layer 0: it must be at least 1."),
    ({**LLAMA, "hidden_size": -32}, "any.json has hidden_size -32: it must be at least 1."),
    ({**LLAMA, "vocab_size": 0}, "any.json has vocab_size 0: it must be at least 1."),
    (
        {**LLAMA, "hidden_size": 33},
        f"any.json is not understood by {TRANSFORMERS} (The hidden size (33) is not a multiple of "
        "the number of attention heads (4)).",
    ),
    (
        {**LLAMA, "hidden_size": "large"},
        f"any.json is not understood by {TRANSFORMERS} (Field 'hidden_size' expected int, got str "
        "(value: 'large')).",
    ),
    (
        {**GPT2, "n_embd": 33},
        "any.json does not describe a model that AutoModelForCausalLM can make (`embed_dim` must "
        "be divisible by num_heads (got `embed_dim`: 33 and `num_heads`: 4)).",
    ),
    (
        {**LLAMA, "hidden_size": 4 * 10**12},
        "any.json does not describe a model that LlamaForCausalLM can make (Storage size "
        "calculation overflowed with sizes=[4000000000000, 4000000000000]).",
    ),
]


@pytest.mark.parametrize(("entries", "sentence"), BAD, ids=lambda v: str(v)[:50])
def test_a_bad_configuration_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as error:
        read(Path("any.json"), **entries)
    assert str(error.value) == sentence


def test_own_code_in_a_folder_wants_trust(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path / "config.json", model_type="own", **OWN_CODE)
    assert str(error.value) == (
        f"{tmp_path} brings its own code (auto_map in config.json): pass --trust-remote-code "
        "(trust_remote_code=True) if you trust it."
    )
