"""A convolution as a matrix product: the windows that its kernel sees, one vector each.

A vector has the values of a window channel by channel, and within a channel row by row, as the
weight ``[outputs, channels, *kernel]`` has them when it is flattened to ``[outputs, rows]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Over the one or two last dimensions of ``[batch, channels, *sizes]``."""

    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    before: Sizes
    """Zeros added in front of each dimension."""
    after: Sizes
    """Zeros added behind it."""

    def places(self, sizes: Sequence[int]) -> Sizes:
        """How many windows fit along each dimension."""
        return tuple(
            (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation, before, after in zip(
                sizes, self.kernel, self.stride, self.dilation, self.before, self.after, strict=True
            )
        )

    def __str__(self) -> str:
        """Short, and different for windows that see different vectors."""
        parts = ["x".join(map(str, self.kernel))]
        if any(each != 1 for each in self.stride):
            parts.append("stride " + "x".join(map(str, self.stride)))
        if any(each != 1 for each in self.dilation):
            parts.append("dilation " + "x".join(map(str, self.dilation)))
        if any((*self.before, *self.after)):
            ends = zip(self.before, self.after, strict=True)
            parts.append("padding " + "x".join(f"{a}+{b}" for a, b in ends))
        return f"windows({' '.join(parts)})"


def same_padding(kernel: Sizes, dilation: Sizes) -> tuple[Sizes, Sizes]:
    """Zeros with which there are as many windows of stride 1 as values; one more of them behind."""
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def unfold(
    x: Tensor, kernel: Sizes, stride: Sizes, dilation: Sizes, before: Sizes, after: Sizes
) -> Tensor:
    """``[batch, channels, *sizes]`` to ``[batch, windows, channels * kernel]``."""
    if len(kernel) == 1:
        x = x.unsqueeze(2)
        kernel, stride, dilation = ((1, *each) for each in (kernel, stride, dilation))
        before, after = (0, *before), (0, *after)
    if any((*before, *after)):
        ends = zip(reversed(before), reversed(after), strict=True)
        x = functional.pad(x, [each for pair in ends for each in pair])
    return functional.unfold(x, kernel, dilation, 0, stride).transpose(1, 2)


def fold(
    y: Tensor,
    x: Tensor,
    kernel: Sizes,
    stride: Sizes,
    dilation: Sizes,
    before: Sizes,
    after: Sizes,
) -> Tensor:
    """``[batch, windows, outputs]`` to ``[batch, outputs, *places]``; `x` is what was unfolded."""
    places = Windows(kernel, stride, dilation, before, after).places(x.shape[2:])
    return y.transpose(1, 2).reshape(y.shape[0], -1, *places)
