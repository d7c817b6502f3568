"""What the device models share: polynomials, normal draws, and the checks of their options."""

from __future__ import annotations

import torch
from torch import Tensor

DAY_S = 86_400.0


def polynomial(x: Tensor, ascending: tuple[float, ...]) -> Tensor:
    """The polynomial with these coefficients, the constant first, at `x`."""
    result = torch.full_like(x, ascending[-1])
    for coefficient in reversed(ascending[:-1]):
        result.mul_(x).add_(coefficient)
    return result


def normal_like(g: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape and type of `g`."""
    return torch.empty_like(g).normal_(generator=generator)


def add_noise(g: Tensor, sigma: Tensor | float, generator: torch.Generator) -> Tensor:
    """`g` and a normal error of the standard deviation `sigma`, as a new tensor."""
    return normal_like(g, generator).mul_(sigma).add_(g)


def require_positive(name: str, value: float) -> None:
    """Raises ValueError unless the option's value is greater than 0."""
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0, but is {value}")


def require_not_negative(name: str, value: float) -> None:
    """Raises ValueError if the option's value is less than 0."""
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, but is {value}")
