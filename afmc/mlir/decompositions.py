"""Operations of ATen in terms of those that come out in MLIR's own dialects, at any size.

torch-mlir lowers sorting, scattering and running sums to a dialect of its own, tm_tensor, which
other builds of MLIR cannot read. Here they are comparisons and sums, of n * n elements for n: of
a sequence as many as attention compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import afmc.lower.operators  # noqa: F401  # registers the operators of namespace afmc

Operator = Any
aten, ours = torch.ops.aten, torch.ops.afmc


def table() -> dict[Operator, Callable[..., Any]]:
    """Decompositions of torch-mlir, and these. NotImplemented leaves an operation as it is."""
    from torch_mlir.extras.fx_decomp_util import get_decomposition_table

    return {
        **get_decomposition_table(),
        aten.cumsum.default: _cumsum,
        aten.empty_like.default: _empty_like,
        aten.histc.default: _histc,
        aten.index_put.default: _index_put,
        aten.scatter.src: _scatter,
        aten.scatter.value: _scatter_value,
        aten.sort.default: _sort,
        aten.sort.stable: _sort_stable,
        aten.topk.default: _topk,
        aten.view.default: _view,
        ours.mvm.default: _mvm,
    }


def _mvm(x: Tensor, matrix: str, cols: int) -> Tensor:
    """With one dimension besides that of the inputs, so that all calls of a matrix look alike."""
    if x.dim() == 2:
        return NotImplemented
    y = ours.mvm(x.reshape(-1, x.shape[-1]), matrix, cols)
    return y.reshape(*x.shape[:-1], cols)


def _view(x: Tensor, size: Sequence[int]) -> Tensor:
    """Views what other decompositions left in another order in memory than the operation that
    they stand for."""
    if x.is_contiguous():
        return NotImplemented
    return x.contiguous().view(size)


def _cumsum(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    whole = not (x.is_floating_point() or x.is_complex())
    dtype = dtype or (torch.int64 if whole else x.dtype)
    x = x.to(dtype).movedim(dim, -1)
    place = torch.arange(x.shape[-1], device=x.device)
    before = place.unsqueeze(-1) <= place
    return torch.where(before, x.unsqueeze(-1), 0).sum(-2, dtype=dtype).movedim(-1, dim)


def _histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    if min == max:  # the limits are those of the data
        return NotImplemented
    place = torch.floor((x - min) * (bins / (max - min))).to(torch.int64)
    place = torch.where(x == max, bins - 1, place).reshape(1, -1)
    return (place == torch.arange(bins, device=x.device).unsqueeze(-1)).sum(-1).to(x.dtype)


def _empty_like(x: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """Zeros: what is read of it is overwritten, but compilers warn."""
    return torch.zeros_like(x, dtype=dtype)


def _index_put(
    x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """``index_put`` for a vector."""
    index = indices[0]
    if accumulate or index is None or index.dtype == torch.bool:
        return NotImplemented
    if not x.dim() == index.dim() == values.dim() == 1:
        return NotImplemented
    return _scatter(x, 0, index, values)


def _scatter(x: Tensor, dim: int, index: Tensor, values: Tensor) -> Tensor:
    """By looking for each place among the indices; the last one wins where several are the same."""
    x, index, values = (each.movedim(dim, -1) for each in (x, index, values))
    place = torch.arange(x.shape[-1], device=x.device).unsqueeze(-1)
    order = torch.arange(index.shape[-1], device=x.device)
    last = torch.where(index.unsqueeze(-2) == place, order, -1).amax(-1)
    found = values.gather(-1, last.clamp(min=0))
    return torch.where(last < 0, x, found).movedim(-1, dim)


def _scatter_value(x: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    return _scatter(x, dim, index, torch.full_like(index, value, dtype=x.dtype))


def _sorted(x: Tensor, dim: int, descending: bool) -> tuple[Tensor, Tensor]:
    """By counting what comes before each element; equal ones keep their order."""
    x = x.movedim(dim, -1)
    place = torch.arange(x.shape[-1], device=x.device)
    mine, other = x.unsqueeze(-1), x.unsqueeze(-2)
    sooner = other > mine if descending else other < mine
    rank = (sooner | ((other == mine) & (place < place.unsqueeze(-1)))).sum(-1)
    index = torch.where(rank.unsqueeze(-2) == place.unsqueeze(-1), place, 0).sum(-1)
    return x.gather(-1, index).movedim(-1, dim), index.movedim(-1, dim)


def _sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    return _sorted(x, dim, descending)


def _sort_stable(
    x: Tensor, *, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    return _sorted(x, dim, descending)


def _topk(
    x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    values, index = _sorted(x, dim, largest)
    return values.narrow(dim, 0, k), index.narrow(dim, 0, k)
