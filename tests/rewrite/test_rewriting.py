"""Rewrites change weights and no outputs; what would change outputs is refused or taken back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers as hf
from rewritten import IDS, family

from afmc.data.text import read_text
from afmc.data.tokens import tokenise
from afmc.errors import OptionError
from afmc.frontends.graph.export import export
from afmc.frontends.load import load
from afmc.rewrite import REWRITES, TOLERANCE, Rewritten, again, difference, outputs, rewrite
from afmc.rewrite.facts import Facts, Outcome, Weights

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded


def done(name: str, **options: Any) -> Rewritten:
    module, exported = family(name)
    return rewrite(module, exported, IDS, **options)


def steps(name: str, **options: Any) -> dict[str, Any]:
    return {step.name: step for step in done(name, **options).steps}


def test_weights_of_norms_are_one_afterwards() -> None:
    llama = done("Llama").module.state_dict()
    assert all((value == 1).all() for key, value in llama.items() if "norm" in key)
    gemma = done("Gemma").module.state_dict()  # 1 + g
    assert all((value == 0).all() for key, value in gemma.items() if "norm" in key)
    gpt2 = done("GPT-2").module.state_dict()
    assert all(
        (value == 1).all() for key, value in gpt2.items() if "ln_" in key and "weight" in key
    )
    biases = [key for key in gpt2 if "ln_1.bias" in key or "ln_2.bias" in key]
    assert len(biases) == 4 and not any(gpt2[key].any() for key in biases)
    assert gpt2["transformer.ln_f.bias"].any(), "lm_head has no bias that could take it"


def test_reasons_name_what_stands_in_the_way() -> None:
    olmo, bert = steps("OLMo-2"), steps("BERT")
    assert olmo["untie"].reason == "No matrix shares its weight with an embedding."
    assert olmo["fold_norms"].reason == (
        "8 of 9 norms stay: a norm of queries, keys or states is read by no matrix; a norm behind "
        "a block is added to the residual stream."
    )
    assert olmo["residual"].reason == (
        "model.layers.0.post_attention_layernorm.weight scales the residual stream by channel: a "
        "norm behind a block, or one whose weight was not folded."
    )
    assert bert["residual"].reason.startswith("bert.embeddings.LayerNorm.weight scales")
    assert steps("T5 encoder")["residual"].reason == "The residual stream is an output."
    assert steps("Mamba")["heads"].reason == "No matrix computes values for attention."


def test_a_rewrite_alone_says_what_it_builds_on() -> None:
    tied = steps("Llama", wanted=("fold_norms", "residual"))
    assert tied["fold_norms"].reason == (
        "1 of 5 norms stay: the matrix behind a norm shares its weight with the embedding (untie "
        "parts them)."
    )
    assert tied["residual"].reason.startswith("model.norm.weight scales the residual stream")
    assert set(tied) == {"fold_norms", "residual"}


def test_layer_norms_see_nothing_of_the_mean_that_is_taken_off() -> None:
    found = done("GPT-2").module.state_dict()
    for key in ("transformer.wte.weight", "transformer.h.0.mlp.c_proj.weight"):
        assert found[key].mean(-1).abs().max() < 1e-6
    assert done("Llama").module.get_parameter("lm_head.weight").mean(-1).abs().max() > 1e-4


def test_the_stream_is_turned_and_the_function_is_not() -> None:
    module, exported = family("Llama")
    module = copy.deepcopy(module)
    module.model.embed_tokens.weight.data[:, 5] = 20  # massive in one channel
    turned = rewrite(module, exported, IDS).module.get_parameter("model.embed_tokens.weight")
    assert turned.abs().max() < 0.3 * 20


def centre_embedding(facts: Facts, weights: Weights, seed: int) -> Outcome:
    """Takes the mean off the embedding, as public code does: wrong for RMSNorm."""
    for name in set(facts.embeddings.values()):
        weights.put(name, weights[name] - weights[name].mean(-1, keepdim=True))
    return Outcome(1, 1)


def test_a_wrong_rewrite_is_taken_back() -> None:
    wrong = {**REWRITES, "centre": centre_embedding}
    module, exported = family("Mistral")
    order = {"fold_norms": REWRITES["fold_norms"], "centre": centre_embedding}
    found = rewrite(module, exported, IDS, tuple(order), rewrites=order)
    _, step = found.steps
    assert not step.applied and step.difference is not None and step.difference > TOLERANCE
    assert step.reason.startswith("Logits differ by ") and step.reason.endswith(": taken back.")
    assert found.applied == ("fold_norms",)
    embedding = "model.embed_tokens.weight"
    assert torch.equal(found.module.get_parameter(embedding), module.get_parameter(embedding))
    fine = done("GPT-NeoX", wanted=("centre",), rewrites=wrong)  # its norms take the mean off
    assert fine.applied == ("centre",)


def test_an_untied_model_is_tied_again_where_it_is_taken_back() -> None:
    def untie_badly(facts: Facts, weights: Weights, seed: int) -> Outcome:
        outcome = REWRITES["untie"](facts, weights, seed)
        weights.put("lm_head.weight", 2 * weights["lm_head.weight"])
        return outcome

    found = done("Llama", wanted=("untie",), rewrites={"untie": untie_badly})
    module: Any = found.module
    assert not found.applied and module.config.tie_word_embeddings
    assert module.lm_head.weight is module.model.embed_tokens.weight
    assert difference(outputs(module, IDS), outputs(family("Llama")[0], IDS)) == 0


@pytest.mark.parametrize("name", ["Llama", "Gemma 3", "GPT-2", "BERT", "OPT", "Mixtral"])
def test_a_rewritten_model_is_saved_as_any_other(name: str, tmp_path: Path) -> None:
    module = done(name).module
    assert isinstance(module, hf.PreTrainedModel)
    module.save_pretrained(tmp_path)
    read = type(module).from_pretrained(tmp_path).eval()
    assert torch.equal(outputs(read, IDS), outputs(module, IDS))
    assert not read.config.tie_word_embeddings or name in ("Mixtral",)


def test_the_same_seed_gives_the_same_weights_again() -> None:
    module, exported = family("Qwen2")
    found = done("Qwen2", seed=4)
    repeated = again(module, exported, found.applied, found.seed).state_dict()
    assert all(torch.equal(v, repeated[k]) for k, v in found.module.state_dict().items())
    other = done("Qwen2", seed=5).module.state_dict()
    assert not torch.equal(
        other["model.embed_tokens.weight"], repeated["model.embed_tokens.weight"]
    )


def test_a_rewrite_that_is_none_is_refused() -> None:
    with pytest.raises(
        OptionError, match="no rewrite R1; there are untie, fold_norms, residual, h"
    ):
        done("Llama", wanted=("R1",))


@pytest.mark.parametrize("name", ["demo", "demo-teacher"])
def test_the_demo_models(name: str) -> None:
    loaded, _ = load(name)
    tokens = tokenise(loaded.tokenizer, read_text(None, "validation", name).content, 256)[None]
    found = rewrite(loaded.module, export(loaded.module), tokens)
    assert {step.name for step in found.steps if step.name != "untie"} <= set(found.applied)
    assert all(step.difference is None or step.difference < 1e-5 for step in found.steps)


@pytest.mark.real_model
def test_smollm2_on_its_own_kind_of_text(smollm2: Loaded) -> None:
    content = read_text(None, "validation").content
    tokens = tokenise(smollm2.tokenizer, content, 256)[None]
    exported = export(smollm2.module, dynamic=False)
    found = rewrite(smollm2.module, exported, tokens)
    assert found.applied == tuple(REWRITES)
    assert [(step.done, step.of) for step in found.steps] == [(1, 1), (61, 61), (1, 1), (30, 30)]
    assert all(step.difference is not None and step.difference < 5e-5 for step in found.steps)
