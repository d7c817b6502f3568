"""Digital factors that make up for what time and temperature did to a block.

Source: Joshi et al., Nature Communications 11, 2473 (2020), and AIHWKIT's global and per-column
drift compensation: the mean size of the outputs for one-hot inputs, just after programming over
now.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from afmc.hardware.conditions import Condition
from afmc.simulator.cells import Streams, write
from afmc.simulator.devices.base import Device
from afmc.simulator.ir_drop import behind_wires
from afmc.targets import Target

_LEAST = 1e-4
"""Least share of the readout just after programming: less is taken for this much, as in AIHWKIT."""


def digital_gain(
    condition: Condition,
    target: Target,
    device: Device,
    streams: Streams,
    before: Tensor,
    now: Tensor,
) -> Tensor:
    """[cols]: by what each column of a block is multiplied. `streams` are those of its crossbar.

    `before` and `now` are what its cells contribute, [cols, rows], just after programming at 25
    degrees Celsius and under `condition`.
    """
    if condition.compensation == "reference":
        readouts = _reference(condition, target, device, streams, before)
        return _ratio(*readouts).expand(before.shape[0])
    if condition.compensation == "column":
        return _ratio(before.abs().sum(dim=1), now.abs().sum(dim=1))
    return _ratio(before.abs().sum(), now.abs().sum()).expand(before.shape[0])


def _ratio(before: Tensor, now: Tensor) -> Tensor:
    factor = before / torch.maximum(now, _LEAST * before)
    return torch.where(before > 0, factor, 1.0)


def _reference(
    condition: Condition, target: Target, device: Device, streams: Streams, like: Tensor
) -> tuple[Tensor, Tensor]:
    """What one more column of the crossbar gives, in the place of its first.

    Its weights are positive and spread like the sizes of normal numbers, the largest of which is
    three standard deviations.
    """
    rows = target.crossbar.rows
    share = (torch.arange(rows, dtype=like.dtype) + 0.5) / rows
    weights = (share.erfinv() * (2**0.5 / 3)).clamp_(max=1).unsqueeze(0)
    one = torch.ones(1, dtype=like.dtype)

    def apart(purpose: str) -> torch.Generator:
        return streams(f"reference {purpose}")

    written = write(weights, one, target, device, apart)
    fresh = replace(condition, at_s=0.0, temperature_C=Condition.temperature_C)
    readouts = []
    for when in (fresh, condition):
        plus, minus = (state.mean for state in written.at(target, device, when, apart))
        plus, minus = behind_wires(
            plus, minus, target, row=0, column=0, temperature_C=when.temperature_C
        )
        readouts.append((plus - minus).sum())
    return readouts[0], readouts[1]
