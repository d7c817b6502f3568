"""How much the model minds an error of each output of each matrix: one forward and backward pass.

For small errors dy of the products, KL divergence per token is about 1/2 sum over outputs of
F dy^2, where F is the diagonal of the Fisher information: the mean square of the gradient of
-log p at tokens that are drawn from the model's own predictions.

Related: Kunstner et al., NeurIPS 2019 (the true Fisher); ModelOpt's auto_quantize scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.frontends.graph.export import first_tensor
from afmc.lower.watch import Given


class NoGradients(Exception):
    """The module's operators cannot be differentiated, as those of ONNX."""


def sensitivities(
    module: nn.Module,
    products: Mapping[str, str],
    windows: Sequence[Given],
    observe: Callable[[int], None] = lambda tokens: None,
    *,
    seed: int = 0,
) -> dict[str, Tensor]:
    """F of every output, [cols], per use of each matrix; `products` has the path of the module
    that computes its product. The module returns logits, [..., classes].

    Raises NoGradients.
    """
    generator = torch.Generator().manual_seed(seed)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = dict.fromkeys(products, 0)
    handles = [
        module.get_submodule(path).register_forward_hook(_hook(name, sums, counts))
        for name, path in products.items()
    ]
    try:
        for window in windows:
            inputs = window if isinstance(window, tuple) else (window,)
            with torch.enable_grad():
                logits = first_tensor(module(*inputs), type(module).__name__)
                log_p = functional.log_softmax(logits.reshape(-1, logits.shape[-1]).float(), dim=-1)
                if not log_p.requires_grad:
                    raise NoGradients
                drawn = torch.multinomial(log_p.detach().exp(), 1, generator=generator)
                torch.autograd.backward(-log_p.gather(1, drawn).sum())
            observe(inputs[0].numel())
    finally:
        for handle in handles:
            handle.remove()
    return {name: total / max(1, counts[name]) for name, total in sums.items()}


def by_size(
    module: nn.Module, products: Mapping[str, str], windows: Sequence[Given]
) -> dict[str, Tensor]:
    """In the place of `sensitivities` where there are no gradients: every matrix minds a relative
    error of its products alike, F = 2 / (sum over its outputs of the mean square)."""
    squares: dict[str, float] = dict.fromkeys(products, 0.0)
    shapes: dict[str, tuple[int, int]] = {}

    def hook(name: str) -> Callable[..., None]:
        def look(_: nn.Module, args: Any, output: Tensor) -> None:
            squares[name] += float(output.square().sum(dtype=torch.float64))
            rows = shapes.get(name, (0, 0))[0] + output.numel() // output.shape[-1]
            shapes[name] = (rows, output.shape[-1])

        return look

    handles = [
        module.get_submodule(path).register_forward_hook(hook(name))
        for name, path in products.items()
    ]
    try:
        with torch.inference_mode():
            for window in windows:
                module(*(window if isinstance(window, tuple) else (window,)))
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: torch.full((cols,), 2 * rows / squares[name])
        for name, (rows, cols) in shapes.items()
        if squares[name]
    }


def _hook(name: str, sums: dict[str, Tensor], counts: dict[str, int]) -> Callable[..., None]:
    def look(_: nn.Module, args: Any, output: Tensor) -> None:
        def take(gradient: Tensor) -> None:
            rows = gradient.detach().reshape(-1, gradient.shape[-1])
            sums[name] = sums.get(name, 0.0) + rows.square().sum(dim=0)
            counts[name] += len(rows)

        if not output.requires_grad:
            output.requires_grad_(True)
        output.register_hook(take)  # type: ignore[no-untyped-call]

    return look
