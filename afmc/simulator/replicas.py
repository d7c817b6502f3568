"""Replicas: weights that are on several sets of tiles, which share the tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from afmc.simulator.tile_linear import TileLinear


class Replicas(nn.Module):
    """Layers that hold the same weight, each on tiles of its own, with errors of its own.

    Token `t` of a call, counted over all dimensions but the last, is served by replica
    `t % replicas`, so that each has as many as another, or one more; or, `averaged`, every product
    is the mean of all replicas'.
    """

    def __init__(self, layers: Sequence[TileLinear], *, averaged: bool = False) -> None:
        super().__init__()
        self.averaged = averaged
        self.layers = nn.ModuleList(layers)
        self.weight = layers[0].weight
        self.bias = layers[0].bias
        self.in_features = layers[0].in_features
        self.out_features = layers[0].out_features

    @property
    def replicas(self) -> list[TileLinear]:
        return [layer for layer in self.layers if isinstance(layer, TileLinear)]

    @property
    def ideal(self) -> Tensor:
        """[outputs, inputs]: what the tiles of each are to hold."""
        return self.replicas[0].ideal

    def wanted(self, x: Tensor) -> Tensor:
        """The product in digital arithmetic, without the bias: [..., inputs] to [..., outputs]."""
        return self.replicas[0].wanted(x)

    def multiply(self, x: Tensor) -> Tensor:
        """The tiles' part, without the bias: [..., inputs] to [..., outputs]."""
        layers = self.replicas
        if self.averaged:
            total = layers[0].multiply(x)
            for layer in layers[1:]:
                total.add_(layer.multiply(x))
            return total.div_(len(layers))
        tokens = x.reshape(-1, x.shape[-1])
        stride = len(layers)
        shared: Tensor | None = None
        for first, layer in enumerate(layers[: len(tokens)]):
            part = layer.multiply(tokens[first::stride])
            if shared is None:
                shared = part.new_empty(len(tokens), part.shape[-1])
            shared[first::stride] = part
        assert shared is not None
        return shared.view(*x.shape[:-1], -1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.multiply(x)
        return y if self.bias is None else y + self.bias


Layer = TileLinear | Replicas


def replicas_of(layer: Layer) -> list[TileLinear]:
    """The layer itself, or those that share its tokens."""
    return layer.replicas if isinstance(layer, Replicas) else [layer]


Tiles = Mapping[str, Layer]
