"""What is written to the cells of a block, and what they hold afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from afmc.hardware.conditions import Condition
from afmc.hardware.defects import ALL, DEFECT, Defects
from afmc.simulator.cells import Perfect, Written, streams_of, weight_per_state, write
from afmc.simulator.devices import GaussianNoise, HermesPcm, PcmPolynomial
from afmc.simulator.devices.base import Device
from afmc.simulator.faults import Faults
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, Programmed, program
from afmc.targets import Target, load_target

HERE = Address(0, 0, 0, 0, 0)
FRESH = Condition()


def target(**overrides: object) -> Target:
    """HERMES without everything but the devices; keys with a double underscore for the dot."""
    plain = {
        "device.noise": None,
        "device.stuck_off_rate": None,
        "crossbar.wire_row_ohm": None,
        "crossbar.wire_column_ohm": None,
        "device.g_max_uS": 20.0,
        "device.g_min_uS": 2.0,
    }
    return load_target(
        "hermes-64", plain | {key.replace("__", "."): value for key, value in overrides.items()}
    )


def weights(written: Written, hardware: Target, device: Device, scale: Tensor) -> Tensor:
    plus, minus = written.at(hardware, device, FRESH, streams_of(0, 0, HERE))
    return (plus.mean - minus.mean) * weight_per_state(scale, hardware).unsqueeze(1)


ARRANGED = [("differential", n, 1.0) for n in (1, 2, 4)] + [("offset", n, 1.0) for n in (1, 2)]


@pytest.mark.parametrize(
    ("encoding", "devices", "significance"),
    [*ARRANGED, ("differential", 2, 4.0), ("differential", 4, 4.0)],
)
def test_perfect_devices_hold_the_weights(
    encoding: str, devices: int, significance: float, generator: torch.Generator
) -> None:
    hardware = target(
        device__encoding=encoding,
        device__devices_per_polarity=devices,
        device__significance=significance,
    )
    ideal = torch.rand(7, 5, generator=generator, dtype=torch.float64) * 2 - 1
    scale = ideal.abs().amax(dim=1)
    written = write(ideal, scale, hardware, Perfect(), streams_of(0, 0, HERE))
    torch.testing.assert_close(weights(written, hardware, Perfect(), scale), ideal)
    assert len(written.plus) == len(written.minus) == devices
    high = hardware.device.cell_max(1)
    for cell in (*written.plus, *written.minus):
        assert float(cell.wanted.min()) >= high * 2 / 20 - 1e-9
        assert float(cell.wanted.max()) <= high + 1e-9


def test_one_side_of_a_pair_is_at_the_smallest_state(generator: torch.Generator) -> None:
    hardware = target(device__devices_per_polarity=1)
    ideal = torch.tensor([[0.5, -1.0, 0.0]])
    written = write(ideal, torch.ones(1), hardware, Perfect(), streams_of(0, 0, HERE))
    assert written.plus[0].wanted.tolist() == [[11.0, 2.0, 2.0]]
    assert written.minus[0].wanted.tolist() == [[2.0, 20.0, 2.0]]


def error(hardware: Target, device: Device, generator: torch.Generator) -> float:
    ideal = torch.rand(200, 200, generator=generator) * 1.6 - 0.8  # room to correct upwards
    scale = torch.ones(200)
    written = write(ideal, scale, hardware, device, streams_of(0, 0, HERE))
    return float((weights(written, hardware, device, scale) - ideal).std())


def test_more_devices_average_their_noise_and_significance_corrects_it(
    generator: torch.Generator,
) -> None:
    """Additive noise of a share of each device's range: over n devices it falls as 1 / sqrt(n);
    a device that counts for a quarter corrects all but its own quarter of the error."""
    overrides: dict[str, object] = {"device__g_min_uS": 0.0}

    def noise(devices: int, significance: float) -> float:
        hardware = target(
            device__devices_per_polarity=devices, device__significance=significance, **overrides
        )
        model = GaussianNoise(0.03, g_max_uS=hardware.device.cell_max(1))
        return error(hardware, model, generator)

    one = noise(1, 1.0)
    assert one == pytest.approx(0.03, rel=0.02)
    assert noise(2, 1.0) == pytest.approx(one / 2**0.5, rel=0.02)
    assert noise(4, 1.0) == pytest.approx(one / 2, rel=0.02)
    # of a range of 1, the devices have 0.8 and 0.2: what is left is the noise of the small one
    assert noise(2, 4.0) == pytest.approx(one / 5, rel=0.05)


def test_stuck_rates(generator: torch.Generator) -> None:
    hardware = target(
        device__devices_per_polarity=1,
        device__stuck_off_rate=0.10,
        device__stuck_on_rate=0.05,
    )
    ideal = torch.full((400, 400), 0.5)
    written = write(ideal, torch.ones(400), hardware, Perfect(), streams_of(0, 0, HERE))
    plus, minus = written.at(hardware, Perfect(), FRESH, streams_of(0, 0, HERE))
    four_sigma = 4 * 0.3 / 400
    assert float((plus.mean == 2).float().mean()) == pytest.approx(0.10, abs=four_sigma)
    assert float((plus.mean == 20).float().mean()) == pytest.approx(0.05, abs=four_sigma)
    assert float((plus.mean == 11).float().mean()) == pytest.approx(0.85, abs=four_sigma)
    assert float((minus.mean == 20).float().mean()) == pytest.approx(0.05, abs=four_sigma)
    assert not torch.equal(plus.mean == 20, minus.mean == 20)


def stuck(hardware: Target, *rows: tuple[int, ...]) -> Faults:
    cells = hardware.device.devices_per_polarity
    return Faults(hardware, cells, new=Defects(np.array(list(rows), dtype=DEFECT)))


def test_a_map_reaches_the_cell_at_its_address() -> None:
    """Two blocks on one tile: the map counts rows and columns of the tile."""
    hardware = target(device__devices_per_polarity=1)
    pieces = [
        Piece(0, 0, 4, 3, Address(1, 2, 0, 10, 20)),
        Piece(0, 3, 4, 3, Address(1, 2, 0, 30, 40)),
    ]
    ideal = torch.full((6, 4), 0.5)
    ideal[:, 0] = 1.0
    plus, on = 0, 1
    faults = stuck(
        hardware,
        (1, 2, 0, 11, 22, plus, ALL, on),  # first block, row 1, column 2
        (1, 2, 0, ALL, 41, plus, 0, 0),  # second block, its column 1
        (1, 2, 1, 12, 21, plus, ALL, on),  # another tier
        (1, 2, 0, 15, 22, plus, ALL, on),  # no block there
        (1, 2, 0, 11, 22, 1, 7, on),  # a device that is not there
    )
    held = program(ideal, pieces, hardware, None, seed=0, instance=0, faults=faults).weight
    expected = ideal.clone()
    expected[2, 1] = 1.0
    expected[4, :] = 0.0
    torch.testing.assert_close(held, expected)
    whole = program(ideal, pieces, hardware, None, seed=0, instance=0).weight
    assert torch.equal(whole, ideal)


def test_a_map_on_a_target_with_a_reference_column_is_of_the_weights_cells() -> None:
    hardware = target(device__encoding="offset", device__devices_per_polarity=1)
    ideal = torch.full((4, 3), 0.5)
    ideal[:, 0] = 1.0
    piece = Piece(0, 0, 3, 4, HERE)
    faults = stuck(hardware, (0, 0, 0, 1, 2, ALL, ALL, 1), (0, 0, 0, ALL, 3, ALL, ALL, 0))
    held = program(ideal, [piece], hardware, None, seed=0, instance=0, faults=faults).weight
    expected = ideal.clone()
    expected[2, 1] = 1.0
    expected[3] = -1.0
    torch.testing.assert_close(held, expected)


def test_a_stuck_device_is_corrected_by_the_less_significant() -> None:
    hardware = target(
        device__significance=4.0, device__g_min_uS=0.0, device__devices_per_polarity=2
    )
    most = stuck(hardware, (0, 0, 0, 0, 0, 0, 0, 0))  # the most significant positive device is off
    piece = Piece(0, 0, 1, 1, HERE)
    for wanted, expected in ((0.15, 0.15), (1.0, 0.2)):
        ideal = torch.tensor([[wanted]])
        scaled = load_target(hardware, {"device.scale": "tile"})
        held = program(
            ideal, [piece], scaled, None, seed=0, instance=0, faults=most,
            crossbar_max={(0, 0, 0): 1.0},
        ).weight  # fmt: skip
        assert float(held) == pytest.approx(expected)


def test_the_noise_of_each_read_is_behind_the_wires_too() -> None:
    """Frozen and at each read, the same noise: over many cells, the same variance."""
    long_wires = {"crossbar.wire_row_ohm": 3.0, "crossbar.wire_column_ohm": 3.0}
    piece = Piece(0, 0, 256, 256, HERE)
    ideal = torch.ones(256, 256)

    def held(read_noise: str) -> Programmed:
        hardware = load_target(
            "hermes-64",
            {**long_wires, "device.read_noise": read_noise, "device.stuck_off_rate": 0.3},
        )
        return program(ideal, [piece], hardware, HermesPcm(2), seed=0, instance=0)

    each, frozen, quiet = held("each"), held("frozen"), held("none")
    variance = each.arrays[0].quadratic
    assert variance is not None
    assert torch.equal(each.weight, quiet.weight)
    works = variance > 0
    assert 0.7 < float(works.float().mean()) < 1 - 0.3**2 + 0.01  # one side of a pair may be stuck
    drawn = (frozen.weight - quiet.weight)[works]
    assert float(drawn.var()) == pytest.approx(float(variance[works].mean()), rel=0.1)


def test_drift_and_noise_are_drawn_once_and_reads_at_their_time() -> None:
    hardware = load_target("hermes-64", {"device.stuck_off_rate": None})
    device = HermesPcm(2)
    written = write(
        torch.full((50, 50), 0.7), torch.ones(50), hardware, device, streams_of(0, 0, HERE)
    )

    def at(t_s: float, noise: str = "none") -> Tensor:
        other = load_target(hardware, {"device.read_noise": noise})
        return written.at(other, device, Condition(t_s), streams_of(0, 0, HERE))[0].mean

    day, later = at(86400.0), at(10 * 86400.0)
    assert torch.equal(at(86400.0), day)
    # one exponent a cell: who drifts more by one day does so by ten
    base = at(0.0)
    ratio = (base / day).log(), (base / later).log()
    assert float(torch.corrcoef(torch.stack([r.flatten() for r in ratio]))[0, 1]) > 0.999
    assert not torch.equal(at(86400.0, "frozen"), day)
    assert torch.equal(at(86400.0, "frozen"), at(86400.0, "frozen"))
    assert torch.equal(at(86400.0, "each"), day)


def test_the_variance_of_reads_is_that_of_the_frozen_noise() -> None:
    device = PcmPolynomial()
    hardware = load_target("pcm-34", {"device.read_noise": "each"})
    written = write(
        torch.full((300, 300), 0.5), torch.ones(300), hardware, device, streams_of(0, 0, HERE)
    )
    later = Condition(3600.0)
    plus, _ = written.at(hardware, device, later, streams_of(0, 0, HERE))
    frozen = load_target(hardware, {"device.read_noise": "frozen"})
    noisy, _ = written.at(frozen, device, later, streams_of(0, 0, HERE))
    assert plus.read_variance is not None and noisy.read_variance is None
    expected = float(plus.read_variance.mean())
    assert float((noisy.mean - plus.mean).var()) == pytest.approx(expected, rel=0.03)


@dataclass(frozen=True)
class Halves(Device):
    """Loses half with time, and doubles with heat: the order is visible."""

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return g + 1

    def age(self, g: Tensor, wanted: Tensor, t_s: float, generator: torch.Generator, /) -> Tensor:
        return g if t_s == 0 else wanted / 2

    def heat(
        self, g: Tensor, wanted: Tensor, temperature_C: float, generator: torch.Generator, /
    ) -> Tensor:
        return g * 2


def test_time_comes_before_temperature() -> None:
    hardware = target(device__devices_per_polarity=1)
    written = write(torch.ones(1, 1), torch.ones(1), hardware, Halves(), streams_of(0, 0, HERE))

    def at(condition: Condition) -> float:
        plus, _ = written.at(hardware, Halves(), condition, streams_of(0, 0, HERE))
        return float(plus.mean)

    assert at(FRESH) == 21
    assert at(Condition(1.0)) == 10
    assert at(Condition(1.0, 85.0)) == 20
    assert at(Condition(0.0, 85.0)) == 42
