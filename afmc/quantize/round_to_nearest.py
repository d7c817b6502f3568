"""Weights rounded to the nearest of few levels, without calibration.

Symmetric, with the largest weight of every output, or of every group of inputs of an output, on the
last level: the baseline of Büchel et al., Analog Foundation Models, NeurIPS 2025 (their W4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from afmc.quantize.precision import Precision


@dataclass(frozen=True)
class Rounded:
    """A weight as integers and scales."""

    codes: Tensor
    """[outputs, inputs], int8."""
    scales: Tensor
    """[outputs, groups], in units of the weight."""
    size: int
    """Inputs of a group, but for the last one."""

    @property
    def weight(self) -> Tensor:
        """[outputs, inputs], in the type of the scales."""
        by_input = self.scales.repeat_interleave(self.size, dim=1)[:, : self.codes.shape[1]]
        return self.codes.to(self.scales.dtype) * by_input


def round_to_nearest(weight: Tensor, precision: Precision) -> Rounded:
    """A weight [outputs, inputs]; the last group may have fewer inputs."""
    outputs, inputs = weight.shape
    size = min(precision.group or inputs, inputs)
    groups = -(-inputs // size)
    padded = functional.pad(weight, (0, groups * size - inputs)).reshape(outputs, groups, size)
    largest = padded.abs().amax(dim=2)
    scales = torch.where(largest > 0, largest / precision.largest, torch.ones_like(largest))
    codes = (padded / scales.unsqueeze(2)).round_().clamp_(-precision.largest, precision.largest)
    return Rounded(codes.reshape(outputs, -1)[:, :inputs].to(torch.int8), scales, size)
