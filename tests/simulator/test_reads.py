"""How tiles are read: digits, phases, groups of rows, converters' errors, noise at each read."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from scipy import constants
from torch import Tensor, nn

from afmc import TileLinear, load_target
from afmc.hardware.conditions import Condition
from afmc.simulator import nodal, reference
from afmc.simulator.converters import ConverterErrors, codes, digits_of
from afmc.simulator.devices.base import device_of
from afmc.simulator.devices.polynomial import DAY_S
from afmc.simulator.read_noise import read_noise_of
from afmc.simulator.streams import Address
from afmc.simulator.tile_linear import pieces_of
from afmc.simulator.tiles import program
from afmc.simulator.wires import Wires
from afmc.targets import Target, list_targets, load_description

SMALL = {"crossbar.rows": 40, "crossbar.columns": 30, "tile.read_latency_ns": None}
READS: dict[str, dict[str, object]] = {
    "as it is": {},
    "bit by bit": {"input.encoding": "bit_serial"},
    "by digits": {"input.encoding": "bit_serial", "input.slice_bits": 3},
    "in two phases": {"tile.read_phases": 2},
    "in four phases": {"tile.read_phases": 4},
    "by digits, in four phases": {
        "input.encoding": "bit_serial",
        "input.slice_bits": 4,
        "tile.read_phases": 4,
    },
    "some rows at a time": {"crossbar.active_rows": 16},
    "with errors": {
        "output.gain_std": 0.05,
        "output.offset_std_steps": 2.0,
        "output.inl_steps": 1.5,
        "output.columns_per_converter": 8,
    },
    "with everything": {
        "input.encoding": "bit_serial",
        "input.slice_bits": 4,
        "tile.read_phases": 4,
        "crossbar.active_rows": 16,
        "output.gain_std": 0.05,
        "output.offset_std_steps": 2.0,
        "output.inl_steps": 1.5,
        "output.columns_per_converter": 8,
    },
}


def layer(rows: int, cols: int, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(rows, cols, bias=False).requires_grad_(False)
    linear.weight.normal_(std=0.05, generator=generator)
    return linear


def error(
    linear: nn.Linear, target: Target, x: Tensor, seed: int = 0, input_range: float = 4.0
) -> float:
    """Relative, root mean square."""
    draws = torch.Generator().manual_seed(seed)
    tile = TileLinear(linear, target, input_range=input_range, generator=draws)
    exact = linear(x)
    return float((tile(x) - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("noise", [False, True])
def test_the_batched_path_equals_the_reference(
    name: str, noise: bool, generator: torch.Generator
) -> None:
    target = load_target("hermes-64", SMALL | READS[name])
    if not noise:
        kept = {key: value for key, value in READS[name].items() if key.startswith("output")}
        target = load_target(target.without_noise(), kept)
    linear = layer(100, 50, generator)
    pieces = pieces_of(100, 50, target, "full")
    condition = Condition(86400.0 if noise else 0.0, compensation="column")
    held = program(
        linear.weight, pieces, target, device_of(target), seed=3, instance=0, condition=condition
    )
    tile = TileLinear.unwritten(linear.weight, None, target, 3.0, transposed=False)
    tile.write(held, torch.Generator())
    x = torch.randn(200, 100, generator=generator)
    off = (tile(x).double() - reference.multiply(x, held, pieces, target, 3.0)).abs()
    assert target.output.steps is not None and target.output.bound is not None
    step = 2 * 3.0 * target.output.bound * held.w_max.amax(dim=0) / target.output.steps
    assert float((off > 1e-4).double().mean()) < 2e-3  # sums between two codes
    assert bool((off <= 1.001 * step * held.gain.amax() + 1e-4).all())


@pytest.mark.parametrize("name", [n for n in READS if "errors" not in n and "every" not in n])
def test_perfect_converters_and_devices_are_exact(name: str, generator: torch.Generator) -> None:
    """Inputs are on the converter's levels; nothing else is rounded."""
    target = load_target("hermes-64", SMALL | READS[name] | {"output.bits": None}).without_noise()
    linear = layer(100, 50, generator)
    x = torch.randint(-127, 128, (20, 100), generator=generator) * (3.0 / 127)
    tile = TileLinear(linear, target, input_range=3.0)
    torch.testing.assert_close(tile(x), linear(x), rtol=1e-4, atol=1e-5)


@given(bits=st.integers(2, 12), slice_bits=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=examples(60))
def test_digits_add_up_to_the_code(bits: int, slice_bits: int, seed: int) -> None:
    target = load_target(
        "hermes-64",
        {
            "input.bits": bits,
            "input.encoding": "bit_serial",
            "input.slice_bits": min(slice_bits, bits - 1),
            "input.step_ns": None,
            "tile.read_latency_ns": None,
        },
    )
    assert target.input.steps is not None
    x = torch.randn(50, generator=torch.Generator().manual_seed(seed))
    code = codes(x, 2.0, target.input.steps)
    digits = [each.of(code) for each in digits_of(target)]
    for digit, value in zip(digits_of(target), digits, strict=True):
        assert float(value.abs().max()) <= digit.largest
    total = sum(d.unit * v for d, v in zip(digits_of(target), digits, strict=True))
    assert isinstance(total, Tensor) and torch.equal(total, code)


LAYERS = st.tuples(st.integers(20, 80), st.integers(5, 30), st.integers(0, 2**20))
"""Inputs, outputs and the seed of the weights."""


def drawn(shape: tuple[int, int, int], tokens: int) -> tuple[nn.Linear, Tensor]:
    """A layer and inputs for it."""
    rows, cols, seed = shape
    generator = torch.Generator().manual_seed(seed)
    return layer(rows, cols, generator), torch.randn(tokens, rows, generator=generator)


@given(LAYERS, st.sampled_from([("input.bits", "output.bits"), ("output.bits", "input.bits")]))
@settings(max_examples=examples(10))
def test_an_error_falls_with_every_bit_of_a_converter(
    shape: tuple[int, int, int], keys: tuple[str, str]
) -> None:
    linear, x = drawn(shape, 400)
    errors = []
    for bits in range(4, 13):
        figures = SMALL | {keys[0]: bits, keys[1]: None, "input.step_ns": None}
        errors.append(error(linear, load_target("hermes-64", figures).without_noise(), x))
    assert errors == sorted(errors, reverse=True)


ANALOG = [name for name in list_targets() if isinstance(load_description(name), Target)]


@given(LAYERS, st.sampled_from(ANALOG))
@settings(max_examples=examples(25))
def test_perfect_converters_on_perfect_devices_are_exact(
    shape: tuple[int, int, int], name: str
) -> None:
    linear, x = drawn(shape, 20)
    ideal = load_target(load_target(name).without_noise(), {"output.bits": None})
    if ideal.input.encoding != "level":
        ideal = load_target(ideal, {"input.encoding": "level", "input.step_ns": None})
    ideal = load_target(ideal, {"input.bits": None})
    assert error(linear, ideal, x) < 2e-6


@given(LAYERS, st.sampled_from(ANALOG), st.booleans(), st.sampled_from([25.0, 85.0]))
@settings(max_examples=examples(20))
def test_no_target_is_better_with_its_noise_than_without(
    shape: tuple[int, int, int], name: str, a_day_later: bool, temperature_C: float
) -> None:
    """On average over instances, whatever its devices, wires, converters and light do."""
    target = load_target(name)
    linear, x = drawn(shape, 50)
    exact = linear(x)
    pieces = pieces_of(linear.in_features, linear.out_features, target, "full")
    condition = Condition(DAY_S if a_day_later else 0.0, temperature_C)

    def squares(hardware: Target, instance: int) -> float:
        draws = torch.Generator().manual_seed(instance)
        tile = TileLinear(linear, hardware.without_noise(), input_range=4.0)
        tile.target = hardware
        held = program(
            linear.weight,
            pieces,
            hardware,
            device_of(hardware),
            seed=0,
            instance=instance,
            condition=condition,
        )
        tile.write(held, draws)
        return float((tile(x) - exact).square().sum())

    noiseless = squares(target.without_noise(), 0)
    assert sum(squares(target, instance) for instance in range(3)) / 3 >= noiseless * (1 - 1e-6)


IMPERFECT: dict[str, dict[str, object]] = {
    "devices": {"device.noise": "pcm-hermes"},
    "stuck off": {"device.stuck_off_rate": 0.02},
    "stuck on": {"device.stuck_on_rate": 0.02},
    "gain": {"output.gain_std": 0.05},
    "offset": {"output.offset_std_steps": 2.0},
    "linearity": {"output.inl_steps": 2.0},
    "converter noise": {"output.noise_steps": 2.0},
    "thermal noise": {"crossbar.read_voltage_V": 1e-5, "output.integration_ns": 10.0},
    "wires": {"crossbar.wire_row_ohm": 5.0, "crossbar.wire_column_ohm": 5.0},
}


@pytest.mark.parametrize("name", IMPERFECT)
def test_no_imperfection_makes_a_product_better_on_average(
    name: str, generator: torch.Generator
) -> None:
    linear, x = layer(100, 50, generator), torch.randn(200, 100, generator=generator)
    clean = load_target("hermes-64", SMALL).without_noise()
    imperfect = load_target(clean, IMPERFECT[name])
    several = torch.tensor([error(linear, imperfect, x, seed) for seed in range(8)])
    assert float(several.mean()) > error(linear, clean, x) * 1.01


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "device.stuck_off_rate": [0.01, 0.03, 0.1],
        "output.gain_std": [0.02, 0.05, 0.1],
        "output.noise_steps": [1.0, 2.0, 4.0],
        "crossbar.wire_column_ohm": [5.0, 10.0, 20.0],
    }.items(),
)
def test_more_of_it_is_worse(key: str, values: list[float], generator: torch.Generator) -> None:
    linear, x = layer(100, 50, generator), torch.randn(200, 100, generator=generator)
    clean = load_target("hermes-64", SMALL).without_noise()
    means = [
        sum(error(linear, load_target(clean, {key: value}), x, seed) for seed in range(8))
        for value in values
    ]
    assert means == sorted(means)


def reads(tile: TileLinear, amplitude: float, times: int) -> Tensor:
    """[times, outputs] of equal inputs at that share of the range."""
    assert tile.input_range is not None
    return tile(torch.full((times, tile.in_features), amplitude * tile.input_range))


def test_thermal_and_shot_noise_are_those_of_the_textbook() -> None:
    """One column of n cells, half of them at g_max = 20 uS, the others of the pair at g_min = 2."""
    volt, time_ns, n = 1e-3, 10.0, 64
    target = load_target(
        "hermes-64",
        {
            "device.g_max_uS": 20.0,
            "device.g_min_uS": 2.0,
            "output.bits": None,
            "input.bits": None,
            "crossbar.read_voltage_V": volt,
            "output.integration_ns": time_ns,
        },
    )
    quiet = target.without_noise()
    target = load_target(quiet, {"crossbar.read_voltage_V": volt})
    assert read_noise_of(quiet, 25.0) == read_noise_of(load_target("ideal-512"), 25.0)
    linear = nn.Linear(n, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(0.3)
    bandwidth_Hz = 1 / (2 * time_ns * 1e-9)
    siemens = n * (20e-6 + 2e-6)
    for celsius in (25.0, 85.0):
        tile = TileLinear(
            linear,
            target,
            input_range=2.0,
            generator=torch.Generator().manual_seed(0),
            condition=Condition(temperature_C=celsius),
        )
        for amplitude in (0.0, 0.5):
            thermal = 4 * constants.k * (celsius + 273.15) * bandwidth_Hz * siemens
            shot = 2 * constants.e * bandwidth_Hz * amplitude * volt * siemens
            current = math.sqrt(thermal + shot)  # ampere
            # one weight of 0.3 at full input is 18 uS times the voltage
            expected = current / (18e-6 * volt) * 0.3 * 2.0
            got = reads(tile, amplitude, 20_000)
            assert float(got.std()) == pytest.approx(expected, rel=0.02)
            assert float(got.mean()) == pytest.approx(
                n * 0.3 * 2.0 * amplitude, abs=4 * expected / 20_000**0.5
            )


def test_light_is_detected_with_the_noise_of_the_textbook() -> None:
    optics = load_target("photonic-pace-64").optics
    assert optics is not None and optics.rin_dB_Hz is not None
    target = load_target(
        "photonic-pace-64",
        {
            "device.noise": None,
            "input.bits": None,
            "output.bits": None,
            "device.transmission_max": 1.0,
            "device.transmission_min": 0.0,
        },
    )
    linear = nn.Linear(16, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    tile = TileLinear(linear, target, input_range=1.0, generator=torch.Generator().manual_seed(0))
    bandwidth_Hz = optics.bandwidth_GHz * 1e9
    ampere = optics.responsivity_A_W * optics.power_mW * 1e-3
    thermal = 4 * constants.k * 298.15 * bandwidth_Hz / optics.load_ohm
    for amplitude in (0.0, 1.0):
        shot = 2 * constants.e * bandwidth_Hz * amplitude * ampere * 16
        rin = 10 ** (optics.rin_dB_Hz / 10) * bandwidth_Hz * (amplitude * ampere) ** 2 * 16
        expected = math.sqrt(thermal + shot + rin) / ampere
        assert float(reads(tile, amplitude, 20_000).std()) == pytest.approx(expected, rel=0.02)


def test_read_noise_of_devices_at_each_read_has_the_variance_of_its_cells() -> None:
    target = load_target(
        "pcm-34",
        {"device.read_noise": "each", "input.bits": None, "output.bits": None},
    )
    linear = nn.Linear(50, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    device = device_of(target)
    pieces = pieces_of(50, 1, target, "full")
    held = program(linear.weight, pieces, target, device, seed=0, instance=0)
    variance = held.arrays[0].quadratic
    assert variance is not None
    tile = TileLinear.unwritten(linear.weight, None, target, None, transposed=False)
    tile.write(held, torch.Generator().manual_seed(1))
    got = tile(torch.full((20_000, 50), 3.0))
    assert float(got.std()) == pytest.approx(3.0 * float(variance.sum()) ** 0.5, rel=0.02)
    assert float(got.mean()) == pytest.approx(3.0 * float(held.weight.sum()), rel=1e-3)


def test_noise_of_a_converter_in_steps() -> None:
    target = load_target(
        load_target("hermes-64").without_noise(), {"output.noise_steps": 3.0, "output.bound": 50.0}
    )
    linear = nn.Linear(8, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    tile = TileLinear(linear, target, input_range=1.0, generator=torch.Generator().manual_seed(0))
    steps = reads(tile, 0.0, 20_000) / (2 * 50.0 / 254)
    assert float(steps.std()) == pytest.approx(math.sqrt(9 + 1 / 12), rel=0.02)
    assert torch.equal(steps.round(), steps.round(decimals=3))


def test_a_reference_column_stands_on_the_same_wires() -> None:
    """Offset encoding against nodal analysis of the array with its reference column."""
    ohm = 8.0
    target = load_target(
        "rram-1024:cmo",
        {
            "crossbar.rows": 24,
            "crossbar.columns": 16,
            "crossbar.active_rows": None,
            "crossbar.wire_row_ohm": ohm,
            "crossbar.wire_column_ohm": ohm,
            "crossbar.sense": "one_end",
            "device.noise": None,
        },
    )
    weight = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    weight /= weight.abs().amax(dim=1, keepdim=True)
    pieces = pieces_of(24, 16, target, "full")
    held = program(weight, pieces, target, None, seed=0, instance=0).weight
    low, high = target.device.state_min, target.device.state_max
    middle, half = (low + high) / 2, (high - low) / 2
    cells = torch.cat((torch.full((1, 24), middle), middle + half * weight)).double()
    exact = nodal.effective(cells, Wires(24, 17, ohm, ohm))
    expected = (exact[1:] - exact[:1]) / half
    lost = float((expected - weight).norm() / weight.norm())
    error = float((held - expected).norm() / expected.norm())
    assert lost > 0.05 and error < 0.02 * lost


def test_columns_and_tiers_share_the_errors_of_their_converter() -> None:
    target = load_target(
        "hermes-64",
        {"output.gain_std": 0.1, "output.inl_steps": 1.0, "output.columns_per_converter": 4},
    )

    def errors(address: Address, cols: int, instance: int = 0) -> Tensor:
        columns = address.col + torch.arange(cols)
        found = ConverterErrors.of_columns(target, 7, instance, address, columns)
        assert found is not None
        return torch.stack(tuple(found))

    all_columns = errors(Address(0, 5, 0, 0, 0), 256)
    assert len(set(all_columns[0].tolist())) == 64
    assert torch.equal(all_columns[:, 4:8], all_columns[:, 4:5].expand(3, 4))
    assert torch.equal(errors(Address(0, 5, 0, 30, 6), 10), all_columns[:, 6:16])
    assert torch.equal(errors(Address(0, 5, 3, 0, 0), 256), all_columns)
    for other in (errors(Address(0, 6, 0, 0, 0), 256), errors(Address(0, 5, 0, 0, 0), 256, 1)):
        assert not torch.isclose(other[0], all_columns[0]).any()
    many = torch.cat([errors(Address(0, tile, 0, 0, 0), 256)[0, ::4] for tile in range(100)])
    assert float(many.std()) == pytest.approx(0.1, rel=0.05)
    assert float(many.mean()) == pytest.approx(1.0, abs=0.01)
    hermes, nine = load_target("hermes-64"), torch.arange(9)
    assert ConverterErrors.of_columns(hermes, 0, 0, Address(0, 0, 0, 0, 0), nine) is None


def test_non_linearity_vanishes_at_zero_and_at_both_ends() -> None:
    target = load_target(
        load_target("ideal-512"),
        {"input.bits": 16, "output.bits": 16, "output.bound": 1.0, "output.inl_steps": 100.0},
    )
    linear = nn.Linear(1, 1, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    tile = TileLinear(linear, target, input_range=1.0, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 201).unsqueeze(1)
    off = (tile(x) - x).squeeze(1) * (2**16 - 2) / 2
    assert float(off[[0, 100, 200]].abs().max()) <= 1
    peak = float(off.abs().max())
    assert peak > 10
    torch.testing.assert_close(
        off / peak, (math.pi * x.squeeze(1)).sin() * off[150].sign(), atol=0.1, rtol=0
    )


def test_reads_follow_from_the_instance_and_repeat_with_it(generator: torch.Generator) -> None:
    target = load_target("hermes-64", {"output.noise_steps": 1.0})
    linear, x = layer(100, 50, generator), torch.randn(20, 100, generator=generator)

    def once() -> TileLinear:
        draws = torch.Generator().manual_seed(5)
        return TileLinear(linear, target, input_range=4.0, generator=draws)

    first = once()
    one, two = first(x), first(x)
    assert not torch.equal(one, two)
    again = once()
    assert torch.equal(again(x), one) and torch.equal(again(x), two)
