"""Input ranges by the error of the product: what converters clip against what they round.

A statistic of the input does not know what the outputs do with it: the full scale of the output
converters is proportional to the input's range, so that a range that clips less rounds outputs
more. Here the product is computed through both converters for several ranges, and the best is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from afmc.simulator.prepare import Preparation
from afmc.simulator.tile_linear import TileLinear, pieces_of
from afmc.simulator.tiles import program
from afmc.targets import Target

SHARES = (0.05, 0.07, 0.1, 0.14, 0.18, 0.22, 0.27, 0.33, 0.4, 0.48, 0.57, 0.67, 0.78, 0.9, 1.0, 1.1)
"""Ranges that are tried, as shares of the largest input."""

_COLUMNS = 1024
"""Columns of a matrix, evenly spread, on which the error is measured."""


def range_of(
    x: Tensor,
    stands_for: Tensor,
    weights: Sequence[Tensor],
    prepare: Sequence[Preparation],
    target: Target,
) -> tuple[float, Mapping[float, float]]:
    """The range of an activation, and the mean relative error of its readers' products by range.

    `x` is [inputs, rows] as the model has them, each of which stands for so many, `weights`
    [cols, rows] of all matrices that read it. Devices are perfect; what they do wrong does not
    depend on the range.
    """
    perfect = target.without_noise()
    largest = float(prepare[0].inputs(x).abs().max())
    if largest == 0:
        return 0.0, {}
    errors = dict.fromkeys(SHARES, 0.0)
    for weight, preparation in zip(weights, prepare, strict=True):
        some = weight[:: max(1, -(-len(weight) // _COLUMNS))]
        wanted = x @ some.T
        whole = float(stands_for @ wanted.square().sum(dim=1))
        if whole == 0:
            continue
        layer = TileLinear.unwritten(
            some, None, perfect, largest, transposed=False, preparation=preparation
        )
        pieces = pieces_of(layer.in_features, layer.out_features, perfect, "full")
        held = program(layer.ideal, pieces, perfect, None, seed=0, instance=0)
        layer.write(held, torch.Generator().manual_seed(0))
        for share in SHARES:
            layer.set_range(share * largest)
            square = (layer.multiply(x) - wanted).square().sum(dim=1)
            errors[share] += float(stands_for @ square) / whole
    count = len(weights)
    by_range = {share * largest: (error / count) ** 0.5 for share, error in errors.items()}
    best = min(by_range, key=lambda each: by_range[each])
    return float(f"{best:.6g}"), by_range
