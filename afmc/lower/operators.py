"""The operators that stand for products on tiles in an exported graph.

Importing afmc and torch, in either order, registers them, so that `torch.export.load` knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from afmc.simulator.replicas import Tiles

_bound: ContextVar[Tiles | None] = ContextVar("afmc_tiles", default=None)


@torch.library.custom_op("afmc::mvm", mutates_args=())
def mvm(x: Tensor, matrix: str, cols: int) -> Tensor:
    """The product of `x` with a matrix on tiles, [..., rows] to [..., cols], without its bias.

    Which tiles these are is decided where the graph runs: inside `bind_tiles`.
    """
    return _bound_to("afmc::mvm")[matrix].multiply(x).clone()


@mvm.register_fake
def _(x: Tensor, matrix: str, cols: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], cols)


@torch.library.custom_op("afmc::grouped_mvm", mutates_args=())
def grouped_mvm(x: Tensor, ends: Tensor, matrix: str, cols: int) -> Tensor:
    """Multiplies by a bank of experts: rows [rows, inputs] sorted by expert, of which up to row
    ``ends[e]`` are those of the experts up to e, to [rows, cols].
    """
    from afmc.program.model import expert_name
    from afmc.simulator.experts import by_expert

    tiles = _bound_to("afmc::grouped_mvm")
    return by_expert(x, ends, cols, lambda e, rows: tiles[expert_name(matrix, e)].multiply(rows))


@grouped_mvm.register_fake
def _(x: Tensor, ends: Tensor, matrix: str, cols: int) -> Tensor:
    return x.new_empty(x.shape[0], cols)


def _bound_to(operator: str) -> Tiles:
    tiles = _bound.get()
    if tiles is None:
        raise RuntimeError(
            f"{operator} has no tiles: run the graph with afmc.load(DIR).graph(), or inside "
            f"afmc.lower.operators.bind_tiles(...)"
        )
    return tiles


@contextmanager
def bind_tiles(tiles: Tiles) -> Iterator[None]:
    """Within it, `afmc::mvm` and `afmc::grouped_mvm` multiply on these tiles."""
    token = _bound.set(tiles)
    try:
        yield
    finally:
        _bound.reset(token)
