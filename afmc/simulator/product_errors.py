"""How wrong products on tiles are, against digital arithmetic on the very same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from afmc.simulator.replicas import Layer


@dataclass
class Squares:
    """Sums over all products since it was made."""

    error: float = 0.0
    """Sum of the squared difference from the digital product."""
    digital: float = 0.0
    """Sum of the squared digital product."""

    def add(self, layer: Layer, x: Tensor, y: Tensor) -> None:
        expected = layer.wanted(x)
        self.error += float((y - expected).square().sum())
        self.digital += float(expected.square().sum())


@contextmanager
def watched(tiles: Mapping[str, Layer]) -> Iterator[dict[str, Squares]]:
    """Within it, every product of these layers is made in digital arithmetic too, and compared.

    Errors of other layers are in the inputs of both, so each is the error of one layer alone.
    """
    squares = {name: Squares() for name in tiles}

    def multiply(name: str, x: Tensor) -> Tensor:
        layer = tiles[name]
        y = type(layer).multiply(layer, x)  # type: ignore[arg-type]  # of its own class
        squares[name].add(layer, x, y)
        return y

    try:
        for name, layer in tiles.items():
            layer.__dict__["multiply"] = partial(multiply, name)
        yield squares
    finally:
        for layer in tiles.values():
            layer.__dict__.pop("multiply", None)
