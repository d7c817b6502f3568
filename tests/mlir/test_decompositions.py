"""Comparisons and sums that stand for sorting, scattering and running sums: as torch does them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from afmc.mlir import decompositions as ours


@pytest.fixture
def draws(generator: torch.Generator) -> Tensor:
    """With many that are equal."""
    return torch.randint(0, 5, (3, 7, 11), generator=generator)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sort(draws: Tensor, dim: int, descending: bool) -> None:
    expected = torch.sort(draws, dim=dim, descending=descending, stable=True)
    for found in (
        ours._sort(draws, dim, descending),
        ours._sort_stable(draws, stable=True, dim=dim, descending=descending),
    ):
        assert torch.equal(found[0], expected.values)
        assert torch.equal(found[1], expected.indices)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("dim", [1, -1])
def test_topk(dim: int, largest: bool, generator: torch.Generator) -> None:
    x = torch.randn(3, 7, 11, generator=generator)
    values, index = ours._topk(x, 4, dim, largest)
    expected = torch.topk(x, 4, dim, largest)
    assert torch.equal(values, expected.values) and torch.equal(index, expected.indices)


@pytest.mark.parametrize("dtype", [None, torch.int32, torch.float32])
@pytest.mark.parametrize("dim", [0, -1])
def test_cumsum(draws: Tensor, dim: int, dtype: torch.dtype | None) -> None:
    found, expected = ours._cumsum(draws, dim, dtype), torch.cumsum(draws, dim, dtype=dtype)
    assert torch.equal(found, expected) and found.dtype == expected.dtype


def test_histc() -> None:
    x = torch.tensor([0.0, 3, 3, 1, 7, -1, 2, 3, 0])
    assert torch.equal(ours._histc(x, 4, 0, 3), torch.histc(x, 4, 0, 3))
    assert ours._histc(x, 4) is NotImplemented


@pytest.mark.parametrize("dim", [0, -1])
def test_scatter(draws: Tensor, dim: int, generator: torch.Generator) -> None:
    index = torch.argsort(torch.rand(draws.shape, generator=generator), dim)
    index = index.narrow(dim, 0, 2)
    values = torch.randint(9, 99, index.shape, generator=generator)
    expected = draws.scatter(dim, index, values)
    assert torch.equal(ours._scatter(draws, dim, index, values), expected)
    assert torch.equal(ours._scatter_value(draws, dim, index, 7), draws.scatter(dim, index, 7))


def test_index_put() -> None:
    x, index, values = torch.zeros(5), torch.tensor([3, 0, 3]), torch.tensor([1.0, 2, 4])
    found = ours._index_put(x, [index], values)
    assert found.tolist() == [2, 0, 0, 4, 0]  # the last one wins
    assert ours._index_put(x, [index], values, accumulate=True) is NotImplemented
    assert ours._index_put(x, [x > 0], values) is NotImplemented
    assert ours._index_put(x[None], [index], values) is NotImplemented
