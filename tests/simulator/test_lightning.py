"""Agreement with AIHWKIT-Lightning, an independent simulator (installed by tests/run.sh)."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from torch import nn

from afmc import TileLinear, load_target
from afmc.simulator import reference
from afmc.simulator.layer import pieces_of
from afmc.simulator.tiles import program

with contextlib.redirect_stdout(io.StringIO()):  # it prints that triton is missing
    pytest.importorskip("aihwkit_lightning", reason="pip install aihwkit-lightning==2.1.0")
    from aihwkit_lightning.nn import AnalogLinear
    from aihwkit_lightning.simulator.configs import (
        TorchInferenceRPUConfig,
        WeightClipParameter,
        WeightClipType,
    )

UNLIMITED = 1 << 20


def analog_linear(
    rows: int, cols: int, max_input_size: int, generator: torch.Generator
) -> nn.Module:
    """Their layer in evaluation mode, 8-bit converters, one static range, ranges by column."""
    config = TorchInferenceRPUConfig()
    config.forward.inp_res = config.forward.out_res = 254
    config.forward.out_bound = 14.0
    config.forward.out_noise = 0.0
    config.clip = WeightClipParameter(type=WeightClipType.LAYER_GAUSSIAN_PER_CHANNEL, sigma=2.5)
    config.mapping.max_input_size = max_input_size
    config.pre_post.input_range.enable = True
    layer = AnalogLinear(rows, cols, bias=True, rpu_config=config)
    weight = torch.randn(cols, rows, generator=generator) * 0.02
    layer.set_weights_and_biases(weight, torch.randn(cols, generator=generator))
    layer.input_range.data.fill_(2.5)
    return layer.eval()


@pytest.mark.parametrize("max_input_size", [512, -1])
@pytest.mark.parametrize(("rows", "cols"), [(300, 40), (512, 100), (576, 64), (1536, 576)])
def test_equals_analog_linear(
    rows: int, cols: int, max_input_size: int, generator: torch.Generator
) -> None:
    theirs = analog_linear(rows, cols, max_input_size, generator)
    linear = nn.Linear(rows, cols)
    with torch.no_grad():
        linear.weight.copy_(theirs.get_parameter("weight"))
        linear.bias.copy_(theirs.get_parameter("bias"))
    high = max_input_size if max_input_size > 0 else UNLIMITED
    target = load_target(
        "afm-512-projected", {"crossbar.rows": high, "crossbar.columns": UNLIMITED}
    ).without_noise()
    x = torch.randn(128, rows, generator=generator) * 1.5
    with torch.no_grad():
        expected = theirs(x)
        pieces = pieces_of(rows, cols, target, "balanced")
        held = program(linear.weight, pieces, target, None, seed=0, instance=0)
        slow = reference.multiply(x, held, pieces, target, 2.5, torch.float32) + linear.bias
        fast = TileLinear(linear, target, input_range=2.5, style="balanced")(x)
    assert torch.equal(slow, expected)
    # The batched path scales the weights beforehand. Where a column's sum lies on the boundary
    # between two codes, floating point may then round it to the other one.
    step = (2 * 2.5 * 14 * held.w_max / 254).amax(dim=0)
    error = ((fast - expected).abs() / step).double()
    other_code = error > 1e-3
    assert other_code.double().mean() < 1e-3
    assert error.max() < 1.001
