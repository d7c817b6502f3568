"""Input ranges from text, for models that bring none along, and where their routers send it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from afmc.errors import OptionError


@dataclass(frozen=True)
class Method:
    """How a range follows from the activations that a matrix reads.

    ``std:K``: K standard deviations, the initialisation of analog foundation models, K = 18
    (Büchel et al., NeurIPS 2025, released configuration). ``percentile:P``: the P-th percentile of
    the absolute values; 100 is the largest.
    """

    kind: Literal["std", "percentile"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Method:
        kind, _, number = text.partition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if kind == "std" and 0 < value < math.inf:
            return cls("std", value)
        if kind == "percentile" and 0 < value <= 100:
            return cls("percentile", value)
        raise OptionError(
            f"calibration {text!r} is not 'std:K' with K above 0 or 'percentile:P' with P above 0 "
            f"and at most 100, for instance std:18 or percentile:99.99."
        )

    def __str__(self) -> str:
        return f"{self.kind}:{self.value:g}"


@dataclass(frozen=True)
class Seen:
    """What a text shows of a model."""

    ranges: Mapping[str, float]
    """By activation, half width of the input converters' range."""
    experts: Mapping[str, NDArray[np.int32]]
    """By experts' module, [tokens, experts of a token]: which ones the router chose."""


def look_at(
    module: nn.Module,
    readers: Mapping[str, str],
    experts: Iterable[str],
    windows: Iterable[Tensor],
    method: Method,
    observe: Callable[[int], None] = lambda tokens: None,
) -> Seen:
    """Range of every input that the matrices read, and where the routers send the tokens.

    `readers` maps the name of an activation to the path of one module that reads it; `experts` are
    paths of modules that are given hidden states and the experts of each token; `windows` are token
    tensors [batch, sequence]. The statistic is taken over each window and averaged, so that
    memory is bounded by one window. Rounded to six digits, which is far below what a converter can
    tell and keeps programs equal between machines.
    """
    found: dict[str, list[float]] = {name: [] for name in readers}
    chosen: dict[str, list[Tensor]] = {path: [] for path in experts}
    handles = []
    for name, path in readers.items():

        def look(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
            found[name].append(_statistic(args[0].detach().float(), method))

        handles.append(module.get_submodule(path).register_forward_pre_hook(look))
    for path in chosen:

        def note(_: nn.Module, args: tuple[Tensor, ...], path: str = path) -> None:
            chosen[path].append(args[1].to(torch.int32))

        handles.append(module.get_submodule(path).register_forward_pre_hook(note))
    try:
        with torch.inference_mode():
            for window in windows:
                module(window)
                observe(window.numel())
    finally:
        for handle in handles:
            handle.remove()
    return Seen(
        {name: float(f"{sum(v) / len(v):.6g}") for name, v in found.items() if v},
        {path: torch.cat(tables).numpy() for path, tables in chosen.items()},
    )


def _statistic(x: Tensor, method: Method) -> float:
    if method.kind == "std":
        return method.value * float(x.std())
    magnitudes = x.abs().flatten()
    rank = max(1, math.ceil(len(magnitudes) * method.value / 100))
    return float(magnitudes.kthvalue(rank).values)
