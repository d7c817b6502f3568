"""A prefix: found where tokens are massive, and the same as its tokens in front of a sequence."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from models import tiny_model, tiny_tokenizer
from torch import Tensor, nn

from afmc.data.tokens import begin_of, windows_of
from afmc.errors import TextError
from afmc.frontends.graph.export import export
from afmc.lower.module import twin_of
from afmc.lower.prefix import Kept, compute_prefix, put_behind
from afmc.recovery.outliers import (
    Outliers,
    find_outliers,
    first_token,
    prefix_of,
    tokens_of_prefix,
)

FAMILIES = ("llama", "gpt2", "gemma3", "qwen2")
TOKENS = (7, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_behind_a_prefix_is_behind_its_tokens(family: str) -> None:
    module: Any = tiny_model(family)
    behind = put_behind(twin_of(module), compute_prefix(module, TOKENS))
    ids = torch.randint(0, 60, (3, 11), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = module(torch.cat([torch.tensor([TOKENS]).expand(3, -1), ids], dim=1)).logits
        for _ in range(2):  # the cache of one call is not that of the next
            ours = behind(ids).logits
            assert torch.allclose(ours, whole[:, len(TOKENS) :], atol=1e-5)
        named = behind(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    assert torch.allclose(named, ours, atol=1e-6)
    with torch.inference_mode():
        plain = module(ids).logits
    assert not torch.allclose(plain, ours, atol=1e-3), "the module itself stays as it is"


@pytest.mark.parametrize("family", FAMILIES[:2])
def test_text_goes_on_as_behind_the_tokens(family: str) -> None:
    module: Any = tiny_model(family)
    prefix = compute_prefix(module, TOKENS)
    ids = torch.tensor([[5, 9, 12, 3]])
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    whole = prefix.before(ids)
    assert whole.tolist() == [[7, 1, 5, 9, 12, 3]]
    mask = torch.ones_like(whole)
    expected = module.generate(whole, attention_mask=mask, **options)
    found = module.generate(
        whole, attention_mask=mask, past_key_values=prefix.cache(module.config), **options
    )
    assert torch.equal(found, expected)


def test_what_a_tokenizer_puts_in_front_stands_once() -> None:
    prefix = compute_prefix(tiny_model("llama"), TOKENS)
    assert prefix.before(torch.tensor([[1, 5]])).tolist() == [[7, 1, 5]]
    assert prefix.before(torch.tensor([[5, 1]])).tolist() == [[7, 1, 5, 1]]


@pytest.mark.parametrize("family", FAMILIES[:2])
def test_the_exported_graph_has_the_prefix(family: str) -> None:
    module: Any = tiny_model(family)
    prefix = compute_prefix(module, TOKENS)
    graph = export(module, behind=Kept(prefix, module.config)).module()
    behind = put_behind(twin_of(module), prefix)
    for shape in ((1, 5), (3, 9)):
        ids = torch.randint(0, 60, shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert torch.allclose(graph(ids), behind(ids).logits, atol=1e-5)
    assert "afmc_prefix" not in dict(module.named_children())


class Massive(nn.Module):
    """Token 5 is massive wherever it stands, and the first token of a sequence as well."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = nn.Linear(8, 8)

    def forward(self, ids: Tensor) -> Tensor:
        torch.manual_seed(0)
        x = torch.randn(*ids.shape, 8)
        x[ids == 5] *= 500
        x[:, 0] *= 500
        found: Tensor = self.reads(x)
        return found


def test_massive_tokens_are_found() -> None:
    windows = [torch.tensor([[3, 4, 5, 6, 7, 8, 9]]), torch.tensor([[2, 4, 6, 7, 8, 9, 3]])]
    found = find_outliers(Massive(), {"x": "reads"}, windows)
    assert found.tokens == Counter({5: 1}) and found.count == 1.5 and found.largest > 64
    assert tokens_of_prefix(found, 1) == (5, 1)


@pytest.mark.parametrize(
    ("outliers", "first", "tokens"),
    [
        (Outliers(3.0, 0.0), 1, ()),
        (Outliers(900.0, 1.0), 1, (1,)),
        (Outliers(900.0, 1.0), None, ()),
        (Outliers(900.0, 2.2, Counter({9: 3, 1: 5, 4: 1})), 1, (9, 4, 1)),
        (Outliers(900.0, 100.0, Counter(range(50))), 0, (*range(1, 8), 0)),
    ],
)
def test_as_many_tokens_as_a_sequence_has(
    outliers: Outliers, first: int | None, tokens: tuple[int, ...]
) -> None:
    assert tokens_of_prefix(outliers, first) == tokens


def test_the_first_token_is_what_begins_a_text_or_ends_it() -> None:
    begins = SimpleNamespace(bos_token_id=4, eos_token_id=5)
    ends = SimpleNamespace(bos_token_id=None, eos_token_id=5)
    neither = SimpleNamespace()
    assert first_token(begins, ends) == 4
    assert first_token(ends, neither) == 5
    assert first_token(neither, begins) == 4
    assert first_token(neither, neither) is None


def test_a_model_without_a_cache_of_keys_and_values_says_so() -> None:
    with pytest.raises(ValueError, match="its cache cannot be filled"):
        prefix_of(Massive(), (1,), torch.tensor([[1, 2, 3]]))


def test_windows_begin_with_what_the_tokenizer_puts_in_front() -> None:
    tokenizer = tiny_tokenizer()
    assert begin_of(tokenizer) == ()

    def with_bos(text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return {"input_ids": [1, *ids] if add_special_tokens else ids}

    assert begin_of(with_bos) == (1,)
    windows = windows_of(torch.arange(10, 20), 4, (1,))
    assert [each.tolist() for each in windows] == [
        [[1, 10, 11, 12]],
        [[1, 13, 14, 15]],
        [[1, 16, 17, 18]],
    ]
    with pytest.raises(TextError, match="less than one window of 20"):
        windows_of(torch.arange(10), 20, (1,))
