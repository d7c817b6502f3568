"""Looking at what modules are given while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Given = Tensor | tuple[Tensor, ...]
"""What a module is given: its only input, or all of them."""


@dataclass(frozen=True)
class Look:
    """At one of the arguments that a module is given."""

    path: str
    argument: int
    look: Callable[[Tensor], None]


@contextmanager
def watched(module: nn.Module, looks: Iterable[Look]) -> Iterator[None]:
    """Within it, every look is called with what its module is given."""
    handles = []
    for each in looks:

        def hook(_: nn.Module, args: tuple[Tensor, ...], each: Look = each) -> None:
            each.look(args[each.argument].detach())

        handles.append(module.get_submodule(each.path).register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def watch(
    module: nn.Module,
    looks: Iterable[Look],
    windows: Iterable[Given],
    observe: Callable[[int], None] = lambda tokens: None,
) -> None:
    """Runs the windows and looks at what modules are given; `observe` is told of each window's
    tokens, or samples."""
    with watched(module, looks), torch.inference_mode():
        for window in windows:
            inputs = window if isinstance(window, tuple) else (window,)
            module(*inputs)
            observe(inputs[0].numel())
