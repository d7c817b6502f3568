"""A model from a trace of some of its layers is the model that a trace of all of them gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as hf
from models import SIZES, TOKENS
from torch import nn
from torch.export import ExportedProgram

from afmc.frontends.graph import loops, stamp
from afmc.frontends.graph.alike import Layers, find_layers, only_traced
from afmc.frontends.graph.export import export
from afmc.frontends.graph.matrices import account, find_matrices
from afmc.frontends.graph.stamp import find_structure

DEEP: dict[str, Any] = {**SIZES, "num_hidden_layers": 4}
LATENT: dict[str, Any] = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}

# Model, the layers that are traced, and which of them each layer is like.
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "llama": (
        lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**DEEP, tie_word_embeddings=True)),
        (0, 1, 2),
        (0, 1, 1, 1),
    ),
    "qwen2": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**DEEP)), (0, 1, 2), (0, 1, 1, 1)),
    "gpt2": (
        lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(n_embd=32, n_layer=4, n_head=4, vocab_size=60, n_positions=64, **TOKENS)
        ),
        (0, 1, 2),
        (0, 1, 1, 1),
    ),
    "phi3": (
        lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**DEEP, **TOKENS)),
        (0, 1, 2),
        (0, 1, 1, 1),
    ),
    # Its layers read the residual stream itself, after a norm of the layer before.
    "bert": (
        lambda: hf.BertForMaskedLM(
            hf.BertConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=4,
                num_attention_heads=4,
                vocab_size=60,
                max_position_embeddings=64,
            )
        ),
        (0, 1, 2),
        (0, 1, 1, 1),
    ),
    "mixtral": (
        lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**DEEP, num_local_experts=4)),
        (0, 1, 2),
        (0, 1, 1, 1),
    ),
    "deepseek_v3": (
        lambda: hf.DeepseekV3ForCausalLM(
            hf.DeepseekV3Config(
                **{**DEEP, "num_hidden_layers": 5, "num_key_value_heads": 4},
                **LATENT,
                moe_intermediate_size=24,
                n_routed_experts=8,
                num_experts_per_tok=3,
                n_group=2,
                topk_group=1,
                first_k_dense_replace=1,
            )
        ),
        (0, 1, 2, 3),
        (0, 1, 2, 2, 2),
    ),
    # Two kinds of layer by turns, which differ in the mask alone.
    "gemma3": (
        lambda: hf.Gemma3ForCausalLM(
            hf.Gemma3TextConfig(
                **{**DEEP, "num_hidden_layers": 7},
                **TOKENS,
                head_dim=8,
                sliding_window=16,
                layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2
                + ["sliding_attention"],
            )
        ),
        (0, 1, 2, 3, 4),
        (0, 1, 2, 3, 1, 2, 3),
    ),
}


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make().eval()


@pytest.mark.parametrize("name", MODELS)
def test_a_stamped_model_is_the_traced_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, traced, like = MODELS[name]
    module = on_meta(make)
    layers = find_layers(module)
    assert layers is not None
    assert (layers.traced, layers.like) == (traced, like)
    expected = find_matrices(export(module, dynamic=False))
    exported: list[nn.Module] = []

    def once(module: nn.Module, *, dynamic: bool) -> ExportedProgram:
        exported.append(module)
        return export(module, dynamic=dynamic)

    monkeypatch.setattr(loops, "export", once)
    matrices, remainder, _ = find_structure(module)
    assert len(exported) == 1  # stamped, and not traced as a whole after all
    for stamped, one in zip(matrices, expected[0], strict=True):
        assert stamped == one
    assert remainder == expected[1]


def test_the_model_is_as_before() -> None:
    module = on_meta(MODELS["gemma3"][0])
    layers = find_layers(module)
    assert layers is not None
    config: Any = module.config
    kinds = config.layer_types
    listed = module.get_submodule(layers.path)
    before = list(listed.children())
    with pytest.raises(ZeroDivisionError), only_traced(module, layers):
        assert list(dict(listed.named_children())) == ["0", "1", "2", "3", "4"]
        assert config.layer_types == [kinds[i] for i in layers.traced]
        raise ZeroDivisionError
    assert list(listed.children()) == before
    assert config.layer_types == kinds


class Block(nn.Module):
    def __init__(self, number: int, width: int = 6) -> None:
        super().__init__()
        self.number = number
        self.up = nn.Linear(4, width)
        self.down = nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(torch.sigmoid(x))))


class Stack(nn.Module):
    """Five layers between an embedding and a head."""

    layers: Any

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.layers = nn.ModuleList(Block(index) for index in range(5))
        self.head = nn.Linear(4, 10)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.through(self.embedding(input_ids)))

    def through(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class BetweenLayers(Stack):
    """Does something after each layer, in none of them."""

    def through(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(torch.tanh(x) + layer.up.bias.sum())
        return x.sin()


class OneIsWider(Stack):
    def __init__(self) -> None:
        super().__init__()
        widths = (6, 6, 8, 6, 6, 6)
        self.layers = nn.ModuleList(Block(i, width) for i, width in enumerate(widths))


class LastIsWider(Stack):
    def __init__(self) -> None:
        super().__init__()
        self.layers[4] = Block(4, width=8)


class LastIsNarrowAgain(Stack):
    """What is after the layers is traced after one of another kind, but for one more."""

    def __init__(self) -> None:
        super().__init__()
        widths = (6, 8, 6, 8, 8, 8, 6)
        self.layers = nn.ModuleList(Block(i, width) for i, width in enumerate(widths))


class ByNumber(Stack):
    def through(self, x: torch.Tensor) -> torch.Tensor:
        for index in range(5):
            x = self.layers[index](x)
        return x


class BackToFront(Stack):
    def through(self, x: torch.Tensor) -> torch.Tensor:
        for layer in reversed(self.layers):
            x = layer(x)
        return x


class Twice(Stack):
    def through(self, x: torch.Tensor) -> torch.Tensor:
        return super().through(super().through(x))


class OneWeight(Stack):
    """A matrix of no layer, of which every layer makes use."""

    def through(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + torch.relu(layer.up(x)) @ self.layers[0].down.weight.mT
        return x


class FurtherBack(Stack):
    """Each layer reads what the one before the last one made, besides."""

    def through(self, x: torch.Tensor) -> torch.Tensor:
        earlier = [x, x]
        for layer in self.layers:
            earlier.append(layer(earlier[-1] * earlier[-2]))
        return earlier[-1]


class SideBySide(Stack):
    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

    def through(self, x: torch.Tensor) -> torch.Tensor:
        for layer, gate in zip(self.layers, self.gates, strict=True):
            x = layer(x) * gate(x)
        return x


class SharedWeights(Stack):
    def __init__(self) -> None:
        super().__init__()
        for layer in self.layers[1:]:
            layer.up = self.layers[0].up


@pytest.mark.parametrize(
    ("kind", "traced"),
    [
        (Stack, (0, 1, 2)),
        (BetweenLayers, (0, 1, 2)),
        (OneIsWider, (0, 1, 2, 3, 4)),
        (LastIsWider, (0, 1, 2, 4)),
        (LastIsNarrowAgain, (0, 1, 2, 3, 4, 6)),
    ],
)
def test_layers_of_any_model(kind: type[Stack], traced: tuple[int, ...]) -> None:
    module = on_meta(kind)
    layers = find_layers(module)
    assert layers is not None and layers.traced == traced
    with only_traced(module, layers):
        some = account(export(module, dynamic=False))
    assert stamp.stamp(some, layers) == find_matrices(export(module, dynamic=False))


@pytest.mark.parametrize(
    "kind",
    [
        ByNumber,
        BackToFront,
        Twice,
        OneWeight,
        FurtherBack,
        SideBySide,
        SharedWeights,
    ],
)
def test_layers_that_do_not_stand_for_one_another_are_all_traced(kind: type[Stack]) -> None:
    module = on_meta(kind)
    found = find_structure(module)
    assert found == find_matrices(export(module, dynamic=False))
    assert len(found[0]) >= 7


def test_a_branch_of_control_flow_is_not_stamped() -> None:
    module = on_meta(Stack)
    layers = find_layers(module)
    assert layers is not None
    with only_traced(module, layers):
        some = account(export(module, dynamic=False))
    branch = (("aten.sin.default", "in true_graph_0: control flow is not lowered yet"), None)
    assert stamp.stamp(some, layers) is not None
    assert stamp.stamp(replace(some, operations=(*some.operations, branch)), layers) is None


def test_names_in_other_layers() -> None:
    layers = Layers("h", (0, 1, 2), (0, 1, 1, 1))
    assert layers.rename("h.1.up.weight", {1: 3, 0: 2}) == "h.3.up.weight"
    assert layers.rename("h.0:add,h.1.norm:mul_1,x:h.1", {1: 3, 0: 2}) == (
        "h.2:add,h.3.norm:mul_1,x:h.1"
    )
    assert layers.rename("other.h.1.up", {}) == "other.h.1.up"
    with pytest.raises(KeyError):
        layers.rename("h.1.up", {0: 2})
