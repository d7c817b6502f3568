"""Agreement with AIHWKIT-Lightning, an independent simulator (installed by tests/run.sh)."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
import torch
from torch import nn

from afmc import TileLinear, load_target
from afmc.errors import OptionError
from afmc.hardware.conditions import Condition
from afmc.simulator import reference
from afmc.simulator.tile_linear import pieces_of
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
    """Their layer in evaluation mode, 8-bit converters, static ranges, output ranges by column."""
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


@pytest.mark.parametrize("output_bits", [8, None])
@pytest.mark.parametrize(("rows", "cols"), [(576, 64), (1100, 80)])
def test_row_slices_have_ranges_of_their_own(
    rows: int, cols: int, output_bits: int | None, generator: torch.Generator
) -> None:
    theirs: Any = analog_linear(rows, cols, 300, generator)
    ranges = (1 + 3 * torch.rand(len(theirs.in_sizes), generator=generator)).tolist()
    theirs.input_range.data.copy_(torch.tensor(ranges))
    linear = nn.Linear(rows, cols)
    linear.load_state_dict({"weight": theirs.weight, "bias": theirs.bias})
    figures = {"crossbar.rows": 300, "crossbar.columns": UNLIMITED, "output.bits": output_bits}
    target = load_target("afm-512-projected", figures).without_noise()
    if output_bits is None:
        theirs.rpu_config.forward.out_res = theirs.rpu_config.forward.out_bound = -1
    x = torch.randn(64, rows, generator=generator) * 1.5
    with torch.no_grad():
        expected = theirs(x)
        pieces = pieces_of(rows, cols, target, "balanced")
        held = program(linear.weight, pieces, target, None, seed=0, instance=0)
        slow = reference.multiply(x, held, pieces, target, ranges, torch.float32) + linear.bias
        fast = TileLinear(linear, target, input_range=ranges, style="balanced")(x)
    torch.testing.assert_close(slow, expected, rtol=0, atol=1e-5)
    differ = (fast - expected).abs() > 1e-4
    assert differ.double().mean() < (1e-3 if output_bits else 1e-9)


@pytest.mark.parametrize("ranges", [[], [1.0, 0.0], [1.0, float("nan")], [1.0] * 9])
def test_ranges_that_cannot_be(ranges: list[float]) -> None:
    target = load_target("afm-512-projected")
    with pytest.raises(OptionError, match="needs an input_range above 0"):
        TileLinear(nn.Linear(8, 2), target, input_range=ranges)


def test_probes_are_as_large_as_the_range_of_their_rows(generator: torch.Generator) -> None:
    """Gain and offset are found although the slices' ranges are ten to one."""
    figures = {"crossbar.rows": 16, "output.gain_std": 0.1, "output.offset_std_steps": 2.0}
    target = load_target("afm-512-projected", {**figures, "device.noise": None})
    linear, ranges = nn.Linear(32, 20), [10.0, 1.0]
    x = torch.randn(200, 32, generator=generator)
    x[:, :16] *= 10 / 6
    x[:, 16:] *= 1 / 6
    errors = []
    for probes in (0, 128):
        tile = TileLinear(
            linear,
            target,
            input_range=ranges,
            style="balanced",
            generator=torch.Generator().manual_seed(5),
            condition=Condition(probes=probes),
        )
        with torch.no_grad():
            errors.append(float((tile(x) - linear(x)).square().mean().sqrt()))
    assert errors[1] < 0.4 * errors[0]
