"""Factors for channels: where they can move, and that outputs do not show them."""

from __future__ import annotations

import pytest
import torch
from rewritten import IDS, family

from afmc.rewrite import rewrite
from afmc.rewrite.facts import Facts, Weights
from afmc.rewrite.scales import scalable, scaled


def factors(name: str) -> dict[str, torch.Tensor]:
    """A drawn factor for every column of every matrix that is no bank."""
    module, exported = family(name)
    draw = torch.Generator().manual_seed(0)
    facts = Facts(exported)
    sizes = {each.weight: Weights(module).matrix(each).shape[-1] for each in facts.layers.values()
             if not each.is_bank}  # fmt: skip
    return {key: torch.rand(size, generator=draw) * 4 + 0.25 for key, size in sizes.items()}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Llama", {"v_proj", "up_proj"}),
        ("Qwen2", {"v_proj", "up_proj"}),
        ("Phi-3", {"qkv_proj", "gate_up_proj"}),
        ("GPT-2", {"c_attn"}),
        ("OPT", {"v_proj", "fc1"}),
        ("Mixtral", {"v_proj"}),
        ("Falcon", {"query_key_value"}),
        ("OLMo-2", {"v_proj", "up_proj"}),
    ],
)
def test_factors_move_into_readers(name: str, kinds: set[str]) -> None:
    module, exported = family(name)
    found = rewrite(module, exported, IDS, ("scales",), rewrites={"scales": scaled(factors(name))})
    (step,) = found.steps
    assert step.applied and step.difference is not None and step.difference < 1e-5
    points = scalable(Facts(exported), Weights(module))
    assert {point.layer.weight.split(".")[-2] for point in points} == kinds
    assert step.done == len(points)
    assert step.reason.startswith("Not read in proportion by matrices alone: ")


def test_of_merged_matrices_only_columns_that_are_read_in_proportion_have_factors() -> None:
    module, exported = family("Phi-3")
    points = {p.layer.weight: p for p in scalable(Facts(exported), Weights(module))}
    merged = points["model.layers.0.mlp.gate_up_proj.weight"].columns
    assert merged.tolist() == [False] * 48 + [True] * 48
    values = points["model.layers.0.self_attn.qkv_proj.weight"]
    assert values.columns.tolist() == [False] * 48 + [True] * 16
    ((_, rows),) = values.readers
    assert rows.tolist() == [*range(48, 56), *range(48, 56), *range(56, 64), *range(56, 64)]
