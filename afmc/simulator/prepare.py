"""What is done to weights before they are written, and to inputs before they are converted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from afmc.program.rotation import Rotation


class Rotate(nn.Module):
    """Multiplies the last dimension of a tensor, [..., size], by a rotation."""

    signs: Tensor

    def __init__(self, rotation: Rotation) -> None:
        super().__init__()
        self.rotation = rotation
        self.register_buffer("signs", torch.from_numpy(rotation.signs()), persistent=False)
        for number, factor in enumerate(rotation.matrices()):
            self.register_buffer(f"factor{number}", torch.from_numpy(factor), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] to [..., size], each factor along an axis of its own."""
        y = (x * self.signs).reshape(-1, self.rotation.size)
        after = self.rotation.size
        for number in range(len(self.rotation.factors)):
            factor = self.get_buffer(f"factor{number}")
            after //= len(factor)
            axes = y.view(-1, len(factor), after)
            y = axes.view(-1, len(factor)) @ factor if after == 1 else factor.T @ axes
        return y.view(x.shape)


class Preparation(nn.Module):
    """Rotation and clipping of a matrix: tiles hold what `weights` gives and read `inputs`.

    Parameters
    ----------
    rotation: of the input; without one inputs are as they are.
    clip: weights beyond so many root mean squares of their column are cut to that; None: none are.
    """

    def __init__(self, rotation: Rotate | None = None, clip: float | None = None) -> None:
        super().__init__()
        self.rotation, self.clip = rotation, clip

    def weights(self, weight: Tensor) -> Tensor:
        """[cols, rows] to [cols, rows]: what tiles are to hold."""
        held = weight if self.rotation is None else self.rotation(weight)
        if self.clip is None:
            return held
        limit = self.clip * held.square().mean(dim=1, keepdim=True).sqrt()
        return torch.minimum(torch.maximum(held, -limit), limit)

    def inputs(self, x: Tensor) -> Tensor:
        """[..., rows] to [..., rows]: what converters are given."""
        return x if self.rotation is None else self.rotation(x)


AS_IT_IS = Preparation()
