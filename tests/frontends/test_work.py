"""Digital work between the matrices, against what the architectures compute."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

import pytest
import torch
from models import tiny_model
from torch import nn

from afmc.frontends.graph.export import export
from afmc.frontends.graph.matrices import find_matrices
from afmc.frontends.graph.stamp import find_structure
from afmc.frontends.huggingface.sliding import with_sliding_windows
from afmc.program.model import Work


def by_kind(work: tuple[Work, ...]) -> dict[str, tuple[float, float, float]]:
    values, positions, cached = (defaultdict[str, float](float) for _ in range(3))
    for each in work:
        values[each.kind] += each.values
        positions[each.kind] += each.by_position
        cached[each.kind] += each.cached
    return {kind: (values[kind], positions[kind], cached[kind]) for kind in values}


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "phi3", "gpt2", "gemma3", "bert"])
def test_attention_norms_and_activations_of_a_model(architecture: str) -> None:
    module = tiny_model(architecture)
    config: Any = module.config
    found = by_kind(find_matrices(export(module)).work)
    layers, heads, hidden = (
        config.num_hidden_layers,
        config.num_attention_heads,
        config.hidden_size,
    )
    per_head = getattr(config, "head_dim", None) or hidden // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    assert found["attention"] == (0, layers * heads * 2 * per_head, layers * 2 * kept * per_head)
    assert found["softmax"] == (0, layers * heads, 0)
    wide = getattr(config, "intermediate_size", None) or 4 * hidden
    activations = found["activation"][0]
    head = hidden if architecture == "bert" else 0  # its head is a layer and a norm
    assert activations == layers * wide + head
    norms = {
        "gemma3": 4 * layers * hidden + hidden + layers * (heads + kept) * per_head,
        "bert": (2 * layers + 2) * hidden,
    }
    assert found["norm"][0] == norms.get(architecture, (2 * layers + 1) * hidden)


def test_work_follows_the_matrix_that_was_read_last() -> None:
    work = find_matrices(export(tiny_model("llama"))).work
    after = {(each.after.removeprefix("model.layers.0."), each.kind) for each in work}
    assert {
        ("", "look-up"),
        ("", "norm"),
        ("self_attn.v_proj.weight", "attention"),
        ("self_attn.v_proj.weight", "softmax"),
        ("self_attn.o_proj.weight", "norm"),
        ("mlp.gate_proj.weight", "activation"),
        ("mlp.up_proj.weight", "elementwise"),
        ("mlp.down_proj.weight", "norm"),
    } <= after


def test_experts_work_for_the_tokens_that_they_get() -> None:
    module = tiny_model("mixtral")
    found = by_kind(find_matrices(export(module)).work)
    config: Any = module.config
    each = config.num_experts_per_tok * config.intermediate_size
    assert found["activation"][0] == config.num_hidden_layers * each


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mixtral", "deepseek_v3", "gemma3"])
def test_stamped_it_is_what_the_whole_graph_has(architecture: str) -> None:
    module = tiny_model(architecture)
    assert find_structure(module).work == find_matrices(export(module, dynamic=False)).work


class Eager(nn.Module):
    """Attention of two heads with one pair of keys and values, product by product."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 12)
        self.q = nn.Linear(12, 12)
        self.kv = nn.Linear(12, 12)
        self.attention = EagerAttention()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        heads = self.q(x).unflatten(-1, (2, 6)).transpose(1, 2)
        keys, values = self.kv(x).unsqueeze(1).chunk(2, dim=-1)
        result: torch.Tensor = self.attention(heads, keys.expand(-1, 2, -1, -1), values)
        return result


class EagerAttention(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        weights = (q @ k.transpose(-1, -2)).softmax(dim=-1)
        return weights @ v.expand(-1, 2, -1, -1)


def test_attention_written_out_counts_as_the_fused_one() -> None:
    found = by_kind(find_matrices(export(Eager().eval())).work)
    assert found["attention"] == (0, 2 * (6 + 6), 6 + 6)
    assert found["softmax"] == (0, 2, 0)
    assert found["look-up"] == (12, 0, 0)


@pytest.mark.parametrize("shapes_only", [False, True])
def test_a_layer_that_slides_looks_at_its_window(shapes_only: bool) -> None:
    module = tiny_model("gemma3")
    config: Any = module.config
    config.layer_types = ["sliding_attention", "full_attention"]
    config.sliding_window = 5
    found = find_structure(module) if shapes_only else find_matrices(export(module))
    windows = {
        each.after.split(".")[2]: each.window
        for each in with_sliding_windows(found.work, module)
        if each.kind == "attention"
    }
    assert windows == {"0": 5, "1": None}


def test_a_window_that_is_not_used_is_none() -> None:
    work = [Work("model.layers.1.self_attn.v_proj.weight", "attention", 0.0, 8.0, 2.0)]
    qwen, phi, llama = (cast(Any, tiny_model(name)) for name in ("qwen2", "phi3", "llama"))
    qwen.config.sliding_window, qwen.config.layer_types = 7, None
    qwen.config.use_sliding_window = False
    phi.config.sliding_window = 9
    assert with_sliding_windows(work, qwen)[0].window is None
    assert with_sliding_windows(work, phi)[0].window == 9
    assert with_sliding_windows(work, llama) == tuple(work)
    assert with_sliding_windows([Work("", "norm", 1.0)], phi)[0].window is None
