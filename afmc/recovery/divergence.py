"""What each matrix costs on tiles by itself: measured, on the same chips for all.

All other matrices compute digitally, so the divergence from the digital model is that of one matrix
alone. Chips are the same ones for every matrix: differences between matrices are not differences
between chips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.frontends.graph.export import first_tensor
from afmc.lower.watch import Given
from afmc.simulator.replicas import Layer


def divergences(
    analog: nn.Module,
    tiles: Mapping[str, Layer],
    layers: Mapping[str, Sequence[str]],
    windows: Sequence[Given],
    known: Mapping[str, float],
) -> Iterator[tuple[str, float]]:
    """KL divergence per token of each matrix that is not `known`, on the chip that is written.

    `layers` has the names in `tiles` of each matrix; `analog` returns logits, [..., classes].
    """
    with _digital(tiles):
        digital = [_log_probabilities(analog, window) for window in windows]
        for matrix, names in layers.items():
            if matrix in known:
                continue
            with _on_tiles(tiles, names):
                yield matrix, _divergence(analog, windows, digital)


def together(analog: nn.Module, tiles: Mapping[str, Layer], windows: Sequence[Given]) -> float:
    """KL divergence per token with everything on the chip that is written."""
    with _digital(tiles):
        digital = [_log_probabilities(analog, window) for window in windows]
    return _divergence(analog, windows, digital)


def _divergence(analog: nn.Module, windows: Sequence[Given], digital: Sequence[Tensor]) -> float:
    total, count = 0.0, 0
    for window, expected in zip(windows, digital, strict=True):
        found = _log_probabilities(analog, window)
        total += float(functional.kl_div(found, expected, reduction="sum", log_target=True))
        count += len(expected)
    return max(0.0, total / count)  # sums of rounded figures may be below 0


def _log_probabilities(module: nn.Module, window: Given) -> Tensor:
    """[outputs, classes]"""
    inputs = window if isinstance(window, tuple) else (window,)
    with torch.inference_mode():
        logits = first_tensor(module(*inputs), type(module).__name__)
        return functional.log_softmax(logits.reshape(-1, logits.shape[-1]).float(), dim=-1)


@contextmanager
def _digital(tiles: Mapping[str, Layer]) -> Iterator[None]:
    """Within it every product is what tiles ought to give."""
    replaced: dict[str, Callable[[Tensor], Tensor]] = {n: t.wanted for n, t in tiles.items()}
    try:
        for name, layer in tiles.items():
            layer.__dict__["multiply"] = replaced[name]
        yield
    finally:
        for layer in tiles.values():
            layer.__dict__.pop("multiply", None)


@contextmanager
def _on_tiles(tiles: Mapping[str, Layer], names: Sequence[str]) -> Iterator[None]:
    """Within it these layers give what their tiles do."""
    for name in names:
        del tiles[name].__dict__["multiply"]
    try:
        yield
    finally:
        for name in names:
            tiles[name].__dict__["multiply"] = tiles[name].wanted
