"""Blocks whose rows and columns are anywhere on a crossbar."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from afmc.hardware.conditions import Condition
from afmc.simulator.devices.base import device_of
from afmc.simulator.lines import Lines
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, Programmed, program
from afmc.targets import Target, load_target

SIZE = {"crossbar.rows": 40, "crossbar.columns": 30}
NOW = Condition()
LATER = Condition(at_s=3600.0, temperature_C=60.0, compensation="column")


def lines(generator: torch.Generator, rows: int, cols: int) -> Lines:
    """Some of the lines, in any order."""
    return Lines(
        torch.randperm(40, generator=generator)[:rows].numpy(),
        torch.randperm(30, generator=generator)[:cols].numpy(),
    )


def at(order: Lines, rows: int, cols: int) -> Piece:
    first = (int(order.rows.min()), int(order.cols.min()))
    return Piece(0, 0, rows, cols, Address(2, 5, 0, *first), order)


def held(weight: Tensor, piece: Piece, target: Target, condition: Condition = NOW) -> Programmed:
    return program(
        weight, [piece], target, device_of(target), seed=1, instance=0, condition=condition
    )


def same(a: Programmed, b: Programmed) -> None:
    assert a.slices == b.slices
    for one, other in zip(a.arrays, b.arrays, strict=True):
        assert torch.equal(one.weight, other.weight)
    assert torch.equal(a.w_max, b.w_max) and torch.equal(a.gain, b.gain)


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"crossbar.active_rows": 7, "tile.read_latency_ns": None},
        {"tile.read_phases": 4, "tile.read_latency_ns": None},
        {"device.encoding": "offset"},
        {"device.scale": "tile", "output.range": "tile"},
        {"device.devices_per_polarity": 3, "device.significance": 2.0},
    ],
    ids=str,
)
def test_without_defects_any_order_holds_the_same(
    figures: dict[str, object], generator: torch.Generator
) -> None:
    """Bit for bit."""
    target = load_target("hermes-64", {**SIZE, **figures}).without_noise()
    weight = torch.randn(20, 25, generator=generator)
    order = lines(generator, 25, 20)
    straight = Piece(0, 0, 25, 20, Address(2, 5, 0, 3, 4))
    same(held(weight, at(order, 25, 20), target), held(weight, straight, target))


@pytest.mark.parametrize("encoding", ["differential", "offset"])
@pytest.mark.parametrize("condition", [NOW, LATER])
def test_noise_and_wires_belong_to_the_lines(
    encoding: str, condition: Condition, generator: torch.Generator
) -> None:
    """As if a matrix with its lines in the order of the crossbar were written."""
    target = load_target(
        "hermes-64", {**SIZE, "device.encoding": encoding, "device.stuck_off_rate": 0.05}
    )
    weight = torch.randn(20, 25, generator=generator)
    rows = 3 + torch.randperm(25, generator=generator)
    cols = 4 + torch.randperm(20, generator=generator)
    by_crossbar = torch.empty_like(weight)
    by_crossbar[(cols - 4).unsqueeze(1), rows - 3] = weight
    expected = held(by_crossbar, Piece(0, 0, 25, 20, Address(2, 5, 0, 3, 4)), target, condition)
    found = held(weight, at(Lines(rows.numpy(), cols.numpy()), 25, 20), target, condition)
    assert torch.equal(found.weight, expected.weight[cols - 4][:, rows - 3])
    assert torch.equal(found.gain[0], expected.gain[0, cols - 4])
    assert condition.at_s == 0 or not torch.equal(found.gain, torch.ones_like(found.gain))


@pytest.mark.parametrize("encoding", ["differential", "offset"])
def test_what_lies_between_the_lines_loads_the_wires(
    encoding: str, generator: torch.Generator
) -> None:
    """As if zeros were written there."""
    target = load_target(
        "ideal-512",
        {
            **SIZE,
            "crossbar.wire_row_ohm": 5.0,
            "crossbar.wire_column_ohm": 5.0,
            "device.encoding": encoding,
            "device.g_min_uS": 0.0,
        },
    )
    rows, cols = np.array([30, 3, 17, 9]), np.array([5, 21, 7])
    weight = torch.randn(3, 4, generator=generator)
    wide = torch.zeros(17, 28)
    wide[torch.from_numpy(cols - 5).unsqueeze(1), torch.from_numpy(rows - 3)] = weight
    found = held(weight, at(Lines(rows, cols), 4, 3), target).weight
    assert not torch.allclose(found, weight, rtol=1e-3)
    if encoding == "offset":  # zeros are at the middle of the range there, idle cells at its end
        straight = Piece(0, 0, 4, 3, Address(2, 5, 0, 3, 5))
        assert not torch.equal(found, held(weight, straight, target).weight)
        return
    expected = held(wide, Piece(0, 0, 28, 17, Address(2, 5, 0, 3, 5)), target).weight
    assert torch.equal(found, expected[cols - 5][:, rows - 3])


def test_converters_are_those_of_the_columns(generator: torch.Generator) -> None:
    target = load_target("hermes-64", {**SIZE, "output.gain_std": 0.1, "device.noise": None})
    weight, order = torch.randn(6, 8, generator=generator), lines(generator, 8, 6)
    every = held(torch.randn(30, 8), Piece(0, 0, 8, 30, Address(2, 5, 0, 0, 0)), target).errors
    found = held(weight, at(order, 8, 6), target).errors
    assert every is not None and found is not None
    assert torch.equal(found.gain[0], every.gain[0, order.cols])


def test_lines_that_follow_each_other_are_in_order() -> None:
    assert Lines(np.arange(3, 9), np.arange(4)).in_order
    assert not Lines(np.array([3, 5, 4]), np.arange(4)).in_order
    assert not Lines(np.arange(4), np.array([1, 3])).in_order
