"""Stuck cells are where the map says, and working devices make up for them as far as they reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from afmc.hardware.conditions import Condition
from afmc.hardware.defect_map import WORKS, DefectMap
from afmc.hardware.defects import ALL, DEFECT, OFF, ON, Defects, parse_rates
from afmc.simulator.cells import Perfect, streams_of, write
from afmc.simulator.faults import Faults, Stuck
from afmc.simulator.lines import Lines
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, program
from afmc.targets import Target, load_target

HERE = Address(1, 6, 2, 0, 0)
RANGE = {"device.g_max_uS": 20.0, "device.g_min_uS": 2.0}
SIZE = {"crossbar.rows": 40, "crossbar.columns": 30, "chip.tiles": 8, "tile.tiers": 4}


def target(devices: int, encoding: str = "differential", significance: float = 1.0) -> Target:
    return load_target(
        "ideal-512",
        {
            **SIZE,
            **RANGE,
            "device.devices_per_polarity": devices,
            "device.encoding": encoding,
            "device.significance": significance,
        },
    )


def expected_weight(
    wanted: float, states: dict[str, int], hardware: Target, *, pair: bool
) -> float:
    """One weight in units of full scale, from first principles: sums over devices."""
    count = hardware.device.devices_per_polarity
    low, high = 2.0 / count, 20.0 / count
    offset = hardware.device.encoding == "offset"
    span = 18.0 / 2 if offset else 18.0
    per_polarity = {"+": 11.0 if offset else 2.0, "-": 11.0 if offset else 2.0}
    per_polarity["+" if wanted > 0 or offset else "-"] += abs(wanted) * span if not offset else 0.0
    if offset:
        per_polarity["+"] += wanted * span
    total = {"+": 0.0, "-": 0.0}
    free = {"+": 0, "-": 0}
    for sign in "+-":
        for k in range(count):
            state = states.get(f"{sign}{k}", WORKS) if not (offset and sign == "-") else WORKS
            if state == WORKS:
                free[sign] += 1
            total[sign] += {OFF: low, ON: high, WORKS: per_polarity[sign] / count}[state]
    held = total["+"] - total["-"]
    if pair and any(state != WORKS for state in states.values()):
        stuck = {s: total[s] - free[s] * per_polarity[s] / count for s in "+-"}
        if offset:
            lowest, highest = (stuck["+"] + free["+"] * g - 11.0 for g in (low, high))
        else:
            fixed = stuck["+"] - stuck["-"]
            lowest = fixed + free["+"] * low - free["-"] * high
            highest = fixed + free["+"] * high - free["-"] * low
        held = min(max(wanted * span, lowest), highest)
    return held / span


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize(
    ("devices", "encoding"),
    [(1, "differential"), (2, "differential"), (1, "offset"), (3, "offset")],
)
def test_the_cells_of_the_map_and_no_others(
    devices: int, encoding: str, pair: bool, generator: torch.Generator
) -> None:
    """Every weight of a permuted block, against a sum over its devices by hand."""
    hardware = target(devices, encoding)
    defects = parse_rates("cells_off=0.1,cells_on=0.08,seed=11")
    weight = (2 * torch.rand(20, 25, generator=generator) - 1).round(decimals=3)
    weight[:, 0] = 1.0  # so that the scale of every column is 1
    order = Lines(
        torch.randperm(40, generator=generator)[:25].numpy(),
        torch.randperm(30, generator=generator)[:20].numpy(),
    )
    address = Address(1, 6, 2, int(order.rows.min()), int(order.cols.min()))
    faults = Faults(hardware, devices, defects, pair=pair)
    piece = Piece(0, 0, 25, 20, address, order)
    held = program(weight, [piece], hardware, None, seed=0, instance=0, faults=faults).weight
    broken = DefectMap(defects, hardware)
    cells = {
        f"{'+-'[polarity]}{k}": broken.stuck((1, 6, 2), polarity, k)
        for polarity in range(1 if encoding == "offset" else 2)
        for k in range(devices)
    }
    hit = 0
    for j, column in enumerate(order.cols.tolist()):
        for i, row in enumerate(order.rows.tolist()):
            states = {name: int(states[column, row]) for name, states in cells.items()}
            hit += any(state != WORKS for state in states.values())
            wanted = float(weight[j, i])
            expected = expected_weight(wanted, states, hardware, pair=pair)
            assert float(held[j, i]) == pytest.approx(expected, abs=1e-5), (i, j, wanted, states)
    assert hit > 50


def test_a_weight_that_works_is_as_it_was(generator: torch.Generator) -> None:
    """Bit for bit, beside weights whose devices are made up for."""
    hardware = target(2)
    weight = torch.randn(20, 25, generator=generator)
    piece = Piece(0, 0, 25, 20, HERE)
    defects = parse_rates("cells_off=0.05,cells_on=0.05,seed=1")
    faults = Faults(hardware, 2, defects, pair=True)
    held = program(weight, [piece], hardware, None, seed=0, instance=0, faults=faults).weight
    stuck = faults.of(piece.crossbar, piece.lines)
    assert stuck is not None
    works = torch.stack([s == WORKS for s in stuck.cells.values()]).all(dim=0)
    plain = write(weight, weight.abs().amax(dim=1), hardware, Perfect(), streams_of(0, 0, HERE))
    made_up = write(
        weight, weight.abs().amax(dim=1), hardware, Perfect(), streams_of(0, 0, HERE), stuck
    )
    for before, after in zip(plain.plus + plain.minus, made_up.plus + made_up.minus, strict=True):
        assert torch.equal(before.wanted[works], after.wanted[works])
    assert not torch.allclose(held[~works], weight[~works])


def test_states_are_no_larger_than_they_need_be() -> None:
    """Both polarities above their least state would draw current for nothing."""
    hardware = target(3)
    states = torch.full((1, 200), WORKS, dtype=torch.int8)
    on = torch.full_like(states, ON)
    wanted = torch.linspace(-1, 1, 200).unsqueeze(0)
    stuck = Stuck({"+1": on}, {"+1": on})
    written = write(wanted, torch.ones(1), hardware, Perfect(), streams_of(0, 0, HERE), stuck)
    plus, minus = written.plus[0].wanted, written.minus[0].wanted
    least = 2.0 / 3 * (1 + 1e-5)
    assert not ((plus > least) & (minus > least)).any()
    held = sum(c.held for c in written.plus) - sum(c.held for c in written.minus)
    reach = wanted.clamp(min=-(18.0 - 6.0) / 18.0)
    torch.testing.assert_close(held / 18.0, reach, rtol=0, atol=1e-6)


def test_devices_of_falling_significance_make_up_for_what_is_known() -> None:
    hardware = target(2, significance=4.0)
    wanted = torch.tensor([[0.15, -0.15, 1.0, -1.0]])
    off = torch.full((1, 4), OFF, dtype=torch.int8)
    stuck = Stuck({"+0": off}, {"+0": off})
    written = write(wanted, torch.ones(1), hardware, Perfect(), streams_of(0, 0, HERE), stuck)
    plus, minus = written.at(hardware, Perfect(), Condition(), streams_of(0, 0, HERE))
    held = (plus.mean - minus.mean) / 18.0
    torch.testing.assert_close(held, torch.tensor([[0.15, -0.15, 0.2, -1.0]]), rtol=0, atol=1e-6)


def test_new_faults_are_not_made_up_for_and_hold_against_known_ones() -> None:
    hardware = target(1)
    known = Defects(np.array([(ALL, ALL, ALL, 0, ALL, 0, ALL, ON)], DEFECT))
    new = Defects(np.array([(ALL, ALL, ALL, ALL, 1, 0, ALL, OFF)], DEFECT))
    weight = torch.full((2, 2), 0.5)
    weight[:, 1] = 1.0
    piece = Piece(0, 0, 2, 2, HERE)

    def held(**maps: Defects) -> list[list[float]]:
        faults = Faults(hardware, 1, **maps, pair=True)
        return program(
            weight, [piece], hardware, None, seed=0, instance=0, faults=faults
        ).weight.tolist()

    assert held(known=known) == [[pytest.approx(0.5), 1.0], [pytest.approx(0.5), 1.0]]
    assert held(new=known) == [[1.0, 1.0], [1.0, 1.0]]
    # in column 1 the negative device still subtracts what the positive one was to hold too much
    assert held(known=known, new=new) == [
        [pytest.approx(0.5), 1.0],
        [pytest.approx(-0.5), pytest.approx(0.0)],
    ]
