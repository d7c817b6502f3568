"""Second moments of activations: their principal directions, from one pass and in little memory.

Source: Tropp, Yurtsever, Udell, Cevher, Fixed-Rank Approximation of a Positive-Semidefinite Matrix
from Streaming Data, NeurIPS 2017 (Nystrom; what rounding hides is cut off in the place of a shift).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from afmc.lower.watch import Given, Look, watch
from afmc.simulator.directions import Directions

MOST_DIRECTIONS = 64
_MORE = 32
"""Columns of the sketch besides the directions that are wanted."""

_LEAST = 1e-9
"""Least share of an activation's energy that is told from rounding."""

_SAMPLED = 256
"""Inputs of each activation that are kept, for ranges."""


@dataclass
class _Sketch:
    """Sums over the inputs of one activation."""

    test: Tensor
    """[rows, columns], random."""
    product: Tensor
    """Second moment times `test`, [rows, columns]."""
    total: Tensor
    """[rows]"""
    square: float = 0.0
    count: int = 0

    def add(self, x: Tensor) -> None:
        self.product += x.T @ (x @ self.test)
        self.total += x.sum(dim=0)
        self.square += float(x.square().sum(dtype=torch.float64))
        self.count += len(x)

    def directions(self) -> Directions:
        rows = len(self.test)
        test, mean = self.test.double(), self.total.double() / self.count
        moment = self.product.double() / self.count - torch.outer(mean, mean @ test)
        square = max(0.0, self.square / self.count - float(mean.square().sum()))
        inner, turned = torch.linalg.eigh(_symmetric(test.T @ moment))
        kept = inner > _LEAST * max(square, torch.finfo(torch.float64).tiny)
        half = moment @ turned[:, kept] / inner[kept].sqrt()
        basis, sizes, _ = torch.linalg.svd(half, full_matrices=False)
        energy = sizes.square()[:MOST_DIRECTIONS]
        found = int((energy > _LEAST * square).sum())
        basis, energy = basis[:, :found], energy[:found]
        rest = max(0.0, square - float(energy.sum())) / rows
        return Directions(mean.float(), basis.float(), energy.float(), rest)


def _symmetric(x: Tensor) -> Tensor:
    return (x + x.T) / 2


@dataclass(frozen=True)
class Seen:
    """What was seen of the activations that matrices read."""

    directions: Mapping[str, Directions]
    samples: Mapping[str, tuple[Tensor, Tensor]]
    """Some inputs of each activation, [inputs, rows], and how many inputs each of them stands for:
    large ones are rarer and are more often among them."""
    largest: Mapping[str, float]
    """Largest absolute value of each activation."""


def look_at_activations(
    module: nn.Module,
    readers: Mapping[str, str],
    windows: Sequence[Given],
    observe: Callable[[int], None] = lambda tokens: None,
    *,
    seed: int = 0,
) -> Seen:
    """Directions and samples of every activation; `readers` has the path of one module that reads
    it. The same text and seed give the same."""
    sketches: dict[str, _Sketch] = {}
    samples: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in readers}
    largest = dict.fromkeys(readers, 0.0)
    generator = torch.Generator().manual_seed(seed)
    each_window = -(-_SAMPLED // len(windows))

    def look(name: str, x: Tensor) -> None:
        rows = x.float().reshape(-1, x.shape[-1])
        if not len(rows):
            return
        if name not in sketches:
            width = min(rows.shape[1], MOST_DIRECTIONS + _MORE)
            test = torch.empty(rows.shape[1], width).normal_(generator=generator)
            test = torch.linalg.qr(test).Q
            sketches[name] = _Sketch(test, torch.zeros_like(test), torch.zeros(len(test)))
        sketches[name].add(rows)
        samples[name].append(_sampled(rows, each_window, generator))
        largest[name] = max(largest[name], float(rows.abs().max()))

    looks = [Look(path, 0, partial(look, name)) for name, path in readers.items()]
    watch(module, looks, windows, observe)
    return Seen(
        {name: each.directions() for name, each in sketches.items()},
        {
            name: (torch.cat([x for x, _ in parts]), torch.cat([n for _, n in parts]))
            for name, parts in samples.items()
            if parts
        },
        largest,
    )


def _sampled(rows: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """So many rows, half of the chance by their energy, and how many rows each stands for."""
    if len(rows) <= count:
        return rows.clone(), torch.ones(len(rows))
    energy = rows.square().sum(dim=1)
    chance = 0.5 / len(rows) + 0.5 * energy / energy.sum().clamp(min=1e-30)
    chosen = torch.multinomial(chance, count, replacement=True, generator=generator)
    return rows[chosen].clone(), 1 / (count * chance[chosen])
