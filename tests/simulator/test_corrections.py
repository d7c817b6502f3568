"""Digital corrections: of drift, of temperature, and of a manufactured instance's columns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from afmc import TileLinear, load_target
from afmc.hardware.conditions import Condition
from afmc.simulator.devices import HermesPcm
from afmc.simulator.devices.base import device_of
from afmc.simulator.tile_linear import pieces_of
from afmc.simulator.tiles import Programmed, program
from afmc.targets import Target

MONTH = 30 * 86400.0


def layer(generator: torch.Generator, rows: int = 300, cols: int = 200) -> nn.Linear:
    linear = nn.Linear(rows, cols, bias=False).requires_grad_(False)
    linear.weight.normal_(std=0.05, generator=generator)
    return linear


def held(linear: nn.Linear, target: Target, condition: Condition) -> Programmed:
    pieces = pieces_of(linear.in_features, linear.out_features, target, "full")
    return program(
        linear.weight, pieces, target, device_of(target), seed=1, instance=0, condition=condition
    )


def error(linear: nn.Linear, target: Target, condition: Condition) -> float:
    draws = torch.Generator().manual_seed(1)
    tile = TileLinear(linear, target, input_range=4.0, generator=draws, condition=condition)
    x = torch.randn(300, linear.in_features, generator=torch.Generator().manual_seed(2))
    exact = linear(x)
    return float((tile(x) - exact).norm() / exact.norm())


def test_the_factor_is_the_readout_before_over_the_readout_now(generator: torch.Generator) -> None:
    """By hand, over the blocks of 256 rows of a layer of 300."""
    linear, target = layer(generator), load_target("hermes-64")
    before = held(linear, target, Condition()).weight
    for kind, dims in (("tile", (0, 1)), ("column", (1,))):
        now = held(linear, target, Condition(MONTH, compensation=kind))  # type: ignore[arg-type]
        for row, (first, last) in enumerate(now.slices):
            expected = before[:, first:last].abs().sum(dim=dims) / (
                now.weight[:, first:last].abs().sum(dim=dims)
            )
            # A tile's readout is of conductances: there every column counts the same.
            precision = 1e-5 if kind == "column" else 1e-2
            torch.testing.assert_close(now.gain[row], expected.expand(200), rtol=precision, atol=0)
            assert 1.3 < float(now.gain[row].mean()) < 3


@pytest.mark.parametrize("kind", ["tile", "column", "reference"])
def test_compensation_makes_up_for_drift_and_heat(kind: str, generator: torch.Generator) -> None:
    linear, target = layer(generator), load_target("hermes-64")
    fresh = error(linear, target, Condition())
    for condition in ({"at_s": MONTH}, {"temperature_C": 60.0}):
        without = error(linear, target, Condition(**condition))  # type: ignore[arg-type]
        with_it = error(
            linear,
            target,
            Condition(**condition, compensation=kind),  # type: ignore[arg-type]
        )
        assert without > 1.5 * fresh
        assert with_it < 0.75 * without
        assert with_it > fresh


@pytest.mark.parametrize("kind", ["tile", "column", "reference"])
def test_just_programmed_nothing_is_compensated(kind: str, generator: torch.Generator) -> None:
    linear, target = layer(generator), load_target("hermes-64")
    now = held(linear, target, Condition(compensation=kind))  # type: ignore[arg-type]
    assert bool((now.gain == 1).all())


def test_drift_is_the_devices_own() -> None:
    """A column of equal weights: its signal falls as the published exponent says."""
    clean = load_target("hermes-64").without_noise()
    target = load_target(clean, {"device.noise": "pcm-hermes", "device.read_noise": "none"})
    linear = nn.Linear(256, 100, bias=False).requires_grad_(False)
    linear.weight.fill_(1.0)
    start, later = (held(linear, target, Condition(t)).weight for t in (0.0, MONTH))
    g = torch.full((100_000,), 20.7)
    draws = torch.Generator().manual_seed(0)
    drifted = HermesPcm(2).age(g, g, MONTH, draws)
    ratio = float(later.mean() / start.mean())
    assert ratio == pytest.approx(float(drifted.mean()) / 20.7, rel=0.01)


def test_a_reference_column_is_that_of_the_crossbar(generator: torch.Generator) -> None:
    """However small the block: the same column, with the crossbar's rows."""
    target = load_target("hermes-64")
    gains = []
    for rows in (1, 16, 256):
        linear = layer(generator, rows=rows, cols=20)
        gains.append(
            float(held(linear, target, Condition(MONTH, compensation="reference")).gain[0, 0])
        )
    assert gains[0] == gains[1] == gains[2]
    tile = float(held(linear, target, Condition(MONTH, compensation="tile")).gain[0, 0])
    assert gains[0] == pytest.approx(tile, rel=0.1)


def test_a_dead_column_is_not_amplified(generator: torch.Generator) -> None:
    linear = layer(generator)
    linear.weight[3] = 0
    target = load_target("hermes-64", {"device.stuck_off_rate": 1.0})
    for kind in ("tile", "column", "reference"):
        now = held(linear, target, Condition(MONTH, compensation=kind))
        assert bool(torch.isfinite(now.gain).all()) and float(now.gain.max()) < 1e5
        assert float(now.weight.abs().max()) == 0


SPREAD: dict[str, object] = {"output.gain_std": 0.2, "output.offset_std_steps": 5.0}


def spread_converters(device: str | None = None) -> Target:
    clean = load_target("hermes-64").without_noise()
    return load_target(clean, SPREAD | {"device.noise": device})


def corrected(linear: nn.Linear, target: Target, probes: int) -> tuple[Tensor, Tensor]:
    """Mean gain and offset that calibration measured, over the columns of the first slice."""
    tile = TileLinear(linear, target, input_range=4.0, generator=torch.Generator().manual_seed(1))
    found = tile.measure(probes, torch.Generator().manual_seed(2))
    return found.gain[0], found.offset[0]


def test_calibration_finds_gain_and_offset_of_each_column(generator: torch.Generator) -> None:
    linear, target = layer(generator, rows=256), spread_converters()
    gain, offset = corrected(linear, target, 512)
    errors = held(linear, target, Condition()).errors
    assert errors is not None
    # The seed of `held` is 1, that of a layer is drawn: the same statistics, not the same values.
    assert float(gain.std()) == pytest.approx(float(errors.gain[0].std()), rel=0.25)
    assert float(gain.mean()) == pytest.approx(1.0, abs=0.06)
    assert float(offset.std()) > 0


def test_calibration_takes_the_spread_of_converters_away(generator: torch.Generator) -> None:
    linear = layer(generator)
    clean = error(linear, load_target("hermes-64").without_noise(), Condition())
    without = error(linear, spread_converters(), Condition())
    with_it = error(linear, spread_converters(), Condition(probes=512))
    assert without > 5 * clean
    assert with_it < 1.2 * clean


def test_more_probes_are_better(generator: torch.Generator) -> None:
    linear, target = layer(generator), spread_converters("pcm-hermes")
    errors = [error(linear, target, Condition(probes=n)) for n in (8, 32, 512)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < error(linear, target, Condition())


def test_calibration_is_of_the_day_of_programming(generator: torch.Generator) -> None:
    """Drift is not measured by it: that is compensation's part."""
    linear, target = layer(generator), spread_converters("pcm-hermes")
    drifted = error(linear, target, Condition(MONTH, probes=128))
    both = error(linear, target, Condition(MONTH, compensation="column", probes=128))
    assert both < 0.6 * drifted


def test_perfect_converters_are_calibrated_too(generator: torch.Generator) -> None:
    linear = layer(generator)
    target = load_target("hermes-64", {"output.bits": None, "output.gain_std": 0.2})
    without, with_it = (error(linear, target, Condition(probes=n)) for n in (0, 256))
    assert with_it < 0.95 * without
