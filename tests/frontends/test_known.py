"""Models that are built alike are traced once; whatever changes a graph makes them other models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import transformers as hf
from models import SIZES, tiny_model
from torch import nn

from afmc.frontends.graph import loops, stamp
from afmc.frontends.graph.known import key_of
from afmc.frontends.graph.stamp import find_structure


def llama(**others: Any) -> Any:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**{**SIZES, **others})).eval()


def scaled(module: Any) -> Any:
    module.model.layers[1].self_attn.scaling = 0.5
    return module


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "more layers": lambda: llama(num_hidden_layers=3),
    "another width": lambda: llama(intermediate_size=40),
    "tied": lambda: llama(tie_word_embeddings=True),
    "another activation": lambda: llama(hidden_act="relu"),
    "biases": lambda: llama(mlp_bias=True),
    "an attribute of one layer": lambda: scaled(llama()),
    "another type": lambda: llama().double(),
    "another family": lambda: tiny_model("qwen2"),
}


def test_models_built_alike_have_one_key_whatever_their_weights() -> None:
    one, other = llama(), llama()
    assert not (one.lm_head.weight == other.lm_head.weight).all()
    other.config._name_or_path = "elsewhere"
    assert key_of(one) == key_of(other) is not None


@pytest.mark.parametrize("what", OTHERS)
def test_what_changes_a_graph_is_another_key(what: str) -> None:
    assert key_of(OTHERS[what]()) not in (key_of(llama()), None)


class Own(hf.LlamaForCausalLM):  # type: ignore[misc]  # transformers has no types
    pass


def hooked() -> nn.Module:
    module: nn.Module = llama()
    module.get_submodule("model.norm").register_forward_hook(lambda *args: None)
    return module


def patched() -> nn.Module:
    module = llama()
    module.model.norm.forward = lambda x: x
    return module


def with_a_layer_of_its_own() -> nn.Module:
    class Mine(nn.Linear):
        pass

    module = llama()
    module.lm_head = Mine(SIZES["hidden_size"], SIZES["vocab_size"], bias=False)
    return module


@pytest.mark.parametrize(
    "make", [lambda: Own(llama().config), hooked, patched, with_a_layer_of_its_own]
)
def test_code_of_others_is_always_traced(make: Callable[[], nn.Module]) -> None:
    assert key_of(make()) is None


def test_it_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    trace = loops.trace

    def counted(module: nn.Module) -> Any:
        traced.append(module)
        return trace(module)

    monkeypatch.setattr(stamp, "trace", counted)
    sizes = {"intermediate_size": 36}  # as no other test has it
    first = find_structure(llama(**sizes))
    times = len(traced)
    assert times and find_structure(llama(**sizes)) == first
    assert len(traced) == times
    assert find_structure(llama(intermediate_size=44)) != first
    assert len(traced) == 2 * times
