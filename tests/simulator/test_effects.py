"""Every figure of a target that makes cells imperfect is in the table of effects."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from afmc.simulator.devices.base import device_of
from afmc.simulator.effects import EFFECTS, Written, distorted
from afmc.simulator.read_noise import read_noise_of
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, program
from afmc.targets import Target, load_target
from afmc.targets.schema import IMPERFECTIONS

CONVERTERS = {"output"}
"""Tables whose errors are drawn for every block, distorted or not."""
CELLS = {
    f"{table}.{key}"
    for table, keys in IMPERFECTIONS.items()
    if table not in CONVERTERS
    for key in keys
} | {"optics", "tile.read_phases"}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "devices": ("ideal-512", {"device.noise": "gaussian", "device.options.sigma": 0.1}),
    "stuck cells": ("ideal-512", {"device.stuck_off_rate": 0.2}),
    "IR drop": ("afm-512-projected", {"device.noise": None, "crossbar.wire_row_ohm": 5.0}),
}


def written(target: Target) -> Written:
    return Written(target, device_of(target), read_noise_of(target, 25.0), None)


def weights_on(target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    wanted = torch.linspace(-1, 1, 48).reshape(6, 8)
    piece = Piece(0, 0, 8, 6, Address(0, 0, 0, 0, 0))
    held = program(wanted, [piece], target, device_of(target), seed=0, instance=0)
    return wanted, held.weight


def test_every_imperfection_of_cells_is_in_the_table() -> None:
    named = [key for effect in EFFECTS for key in effect.keys]
    assert len(named) == len(set(named))
    assert set(named) == CELLS
    assert len({effect.name for effect in EFFECTS}) == len(EFFECTS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_effect_that_a_target_has_changes_the_weights(name: str) -> None:
    target = load_target(CASES[name][0], CASES[name][1])
    assert [effect.name for effect in EFFECTS if effect.active(written(target))] == [name]
    wanted, held = weights_on(target)
    assert (held - wanted).abs().max() > 1e-4


def test_without_effects_cells_are_the_weights() -> None:
    target = load_target("ideal-512")
    assert not distorted(written(target))
    wanted, held = weights_on(target)
    assert torch.equal(held, wanted)
    for name in ("hermes-64", "afm-512-projected", "pcm-34", "rram-1024", "photonic-pace-64"):
        assert distorted(written(load_target(name))), name
