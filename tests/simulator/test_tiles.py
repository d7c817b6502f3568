"""The reference against the mathematics, the batched path against the reference."""

from __future__ import annotations

import math

import pytest
import torch
from device_plug_ins import (
    Exits,
    NeverAges,
    Raises,
    SaysMuch,
    Shrinks,
    SigmaOfAnotherShape,
    SigmaOfNoNumber,
)
from torch import nn

from afmc import TileLinear, load_target
from afmc.errors import OptionError, TargetError
from afmc.hardware.conditions import Condition
from afmc.simulator import reference
from afmc.simulator.converters import convert_input, convert_output
from afmc.simulator.devices import HermesPcm
from afmc.simulator.devices.base import Device, device_of
from afmc.simulator.streams import Address, generator_at
from afmc.simulator.tile_linear import pieces_of
from afmc.simulator.tiles import Piece, program
from afmc.targets import Target

JUST_PROGRAMMED = {
    "device.stuck_off_rate": None,
    "device.read_noise": "none",
    "crossbar.wire_row_ohm": None,
    "crossbar.wire_column_ohm": None,
}

WITHOUT_BITS: dict[str, dict[str, object]] = {
    "both": {},
    "input only": {"output.bits": None},
    "output only": {"input.bits": None},
    "neither": {"input.bits": None, "output.bits": None},
}


def layer(rows: int, cols: int, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    linear = nn.Linear(rows, cols, bias=bias).requires_grad_(False)
    linear.weight.normal_(std=0.05, generator=generator)
    if bias:
        linear.bias.normal_(generator=generator)
    return linear


def test_an_input_converter_by_hand() -> None:
    """3 bits: 6 steps, 7 levels, a third of the range apart; half goes to even."""
    x = torch.tensor([-9.0, -0.9, -0.5, 0.1, 0.16, 0.5, 1 / 6, 0.84, 2.0])
    levels = convert_input(x, 1.0, 6) * 3
    assert levels.tolist() == pytest.approx([-3, -3, -2, 0, 0, 2, 0, 3, 3])


def test_an_output_converter_by_hand() -> None:
    full_scale = torch.tensor([1.0, 10.0])
    y = torch.tensor([[0.4, 0.4], [-7.0, -7.0]])
    assert convert_output(y, full_scale, 6).tolist() == [
        pytest.approx([1 / 3, 0.0]),
        pytest.approx([-1.0, -20 / 3]),
    ]


def test_the_reference_by_hand() -> None:
    """Two row slices of one column: each partial sum is converted before they add up."""
    target = load_target(
        "afm-512-projected",
        {"crossbar.rows": 2, "input.bits": 3, "output.bits": 3, "output.bound": 1.0},
    ).without_noise()
    weight = torch.tensor([[0.5, 0.25, 1.0]])  # one output, three inputs
    pieces = pieces_of(3, 1, target, "full")
    held = program(weight, pieces, target, None, seed=0, instance=0)
    x = torch.tensor([[0.9, -0.6, 0.4]])  # codes 3, -2, 1 of 3 with range 1
    first = 0.5 * 1 - 0.25 * 2 / 3  # range 0.5: 0.3333 is code 2 of 3
    second = 1.0 * 1 / 3  # range 1: code 1 of 3
    assert math.isclose(first, 1 / 3)
    y = reference.multiply(x, held, pieces, target, 1.0)
    assert y.item() == pytest.approx(0.5 * 2 / 3 + second)


@pytest.mark.parametrize("bits", WITHOUT_BITS)
@pytest.mark.parametrize("style", ["full", "balanced"])
@pytest.mark.parametrize("name", ["afm-512-projected", "hermes-64"])
@pytest.mark.parametrize("tilewise", [False, True])
def test_the_batched_path_equals_the_reference(
    bits: str, style: str, name: str, tilewise: bool, generator: torch.Generator
) -> None:
    by = "tile" if tilewise else "column"
    target = load_target(name, {**WITHOUT_BITS[bits], "output.range": by, "device.scale": by})
    linear = layer(600, 300, generator)
    seed = torch.Generator().manual_seed(7)
    fast = TileLinear(linear, target, input_range=2.0, generator=seed, style=style)  # type: ignore[arg-type]

    pieces = pieces_of(600, 300, target, style)  # type: ignore[arg-type]
    drawn = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(7)))
    held = program(linear.weight, pieces, target, device_of(target), seed=drawn, instance=0)
    x = torch.randn(3, 20, 600, generator=generator)
    slow = reference.multiply(x.view(60, 600), held, pieces, target, 2.0) + linear.bias
    got = fast(x)
    assert got.shape == (3, 20, 300)
    error = (got.view(60, 300) - slow).abs()
    step = torch.zeros(300)
    if target.output.steps:
        assert target.output.bound is not None
        step = (2 * 2.0 * target.output.bound * held.w_max / target.output.steps).amax(dim=0)
    off = error > 1e-4
    assert off.double().mean() < 1e-3  # sums on the boundary between two codes
    assert bool((error <= 1.001 * step + 1e-4).all())


def test_perfect_tiles_are_the_linear_layer(generator: torch.Generator) -> None:
    linear = layer(1200, 700, generator)
    x = torch.randn(5, 1200, generator=generator)
    torch.testing.assert_close(TileLinear(linear, load_target("ideal-512"))(x), linear(x))


def test_programmed_weights_have_the_devices_statistics(generator: torch.Generator) -> None:
    """The error of a whole matrix is that of two devices at its conductances."""
    target = load_target("hermes-64", JUST_PROGRAMMED)
    weight = torch.rand(256, 256, generator=generator) * 2 - 1
    weight[:, 0] = 1.0  # the scale of every column
    pieces = pieces_of(256, 256, target, "full")
    device = HermesPcm(2)
    held = program(weight, pieces, target, device, seed=3, instance=0)
    written = weight.abs() * 20.7
    # a cell that is not written settles at the mean of the positive half of its noise
    sigma0 = 0.16603222
    mean_other = sigma0 / (2 * math.pi) ** 0.5
    var_other = sigma0**2 * (0.5 - 1 / (2 * math.pi))
    expected = (device.sigma_uS(written) ** 2 + var_other).mean()
    error = (held.weight - weight) * 20.7 + weight.sign() * mean_other
    assert float((error**2).mean()) == pytest.approx(float(expected), rel=0.03)


def test_noise_follows_from_seed_instance_and_address_alone(generator: torch.Generator) -> None:
    target, device = load_target("hermes-64"), HermesPcm(2)
    weight = torch.randn(100, 600, generator=generator)
    pieces = pieces_of(600, 100, target, "full")

    def draw(pieces: list[Piece], seed: int = 0, instance: int = 0) -> torch.Tensor:
        return program(weight, pieces, target, device, seed=seed, instance=instance).weight

    base = draw(pieces)
    assert torch.equal(base, draw(pieces))
    assert torch.equal(base, draw(pieces[::-1]))  # the order does not matter
    turned = weight.T.contiguous().T  # nor does the order in memory, as of GPT-2's Conv1D
    assert torch.equal(base, program(turned, pieces, target, device, seed=0, instance=0).weight)
    for other in (draw(pieces, seed=1), draw(pieces, instance=1)):
        assert not torch.isclose(base, other).any(dim=0).all()
    moved = [Piece(p.row, p.col, p.rows, p.cols, Address(1, i, 0, 0, 0)) if i == 1 else p
             for i, p in enumerate(pieces)]  # fmt: skip
    changed = draw(moved) != base
    assert changed[:, 256:512].any() and not changed[:, :256].any() and not changed[:, 512:].any()


def test_generators_differ_in_every_part_of_the_address() -> None:
    addresses = [Address(*(int(i == j) for j in range(5))) for i in range(6)]
    keys = [(0, 0, a) for a in addresses] + [(1, 0, addresses[5]), (0, 1, addresses[5])]
    assert len({generator_at(*key, "program").initial_seed() for key in keys}) == len(keys)


@pytest.mark.parametrize("noisy", [False, True])
def test_a_column_of_zeros_stays_zero(noisy: bool, generator: torch.Generator) -> None:
    """Its digital scale is zero, whatever its cells do."""
    linear = layer(8, 3, generator, bias=False)
    linear.weight[1] = 0
    target = load_target("hermes-64") if noisy else load_target("afm-512-projected").without_noise()
    tile = TileLinear(linear, target, input_range=1.0, generator=generator)
    y = tile(torch.randn(4, 8, generator=generator))
    assert bool(torch.isfinite(y).all()) and y[:, 1].abs().max() == 0


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        (
            Raises(),
            "program of the device model Raises failed: ZeroDivisionError('no such luck').",
        ),
        (
            Shrinks(),
            "program of the device model Shrinks did not return the shape it got.",
        ),
        (
            SigmaOfAnotherShape(),
            "read_sigma of the device model SigmaOfAnotherShape did not return the shape it got.",
        ),
        (
            SigmaOfNoNumber(),
            "read_sigma of the device model SigmaOfNoNumber gives values that are no finite "
            "numbers of at least 0.",
        ),
        (Exits(), "program of the device model Exits failed: SystemExit(3)."),
        (NeverAges(), "the device model NeverAges: nobody looked after programming."),
        (SaysMuch(), "the device model SaysMuch: nobody looked."),
    ],
)
def test_a_plug_in_device_that_misbehaves(device: Device, sentence: str) -> None:
    target, weight = load_target("hermes-64"), torch.ones(4, 4)
    pieces = pieces_of(4, 4, target, "full")
    later = Condition(1.0)
    with pytest.raises(TargetError) as caught:
        program(weight, pieces, target, device, seed=0, instance=0, condition=later)
    assert str(caught.value) == sentence


def test_row_cuts_must_run_across() -> None:
    address = [Address(0, i, 0, 0, 0) for i in range(4)]
    pieces = [
        Piece(0, 0, 4, 2, address[0]),
        Piece(4, 0, 2, 2, address[1]),
        Piece(0, 2, 3, 2, address[2]),
        Piece(3, 2, 3, 2, address[3]),
    ]
    with pytest.raises(ValueError, match="do not share their row cuts"):
        program(torch.ones(4, 6), pieces, load_target("ideal-512"), None, seed=0, instance=0)


def needs(target: Target, **arguments: object) -> str:
    with pytest.raises(OptionError) as caught:
        TileLinear(nn.Linear(4, 4), target, **arguments)  # type: ignore[arg-type]
    return str(caught.value)


def test_missing_arguments_get_one_sentence() -> None:
    afm = load_target("afm-512-projected")
    expected = (
        "afm-512-projected needs an input_range above 0, to which its converters and the noise of "
        "its reads refer."
    )
    assert needs(afm) == needs(afm, input_range=0.0) == expected
    assert needs(afm, input_range=1.0) == (
        "the devices of afm-512-projected are noisy: pass generator=torch.Generator()"
        ".manual_seed(...), or use target.without_noise()."
    )
