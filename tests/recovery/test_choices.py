"""Ranges, limits of weights, wires and sensitivities: each against what it stands for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.program.rotation import rotation_of
from afmc.recovery.clipping import LIMITS, clip_of
from afmc.recovery.ranges import range_of
from afmc.recovery.sensitivity import NoGradients, by_size, sensitivities
from afmc.simulator.beforehand import made_up_for
from afmc.simulator.prepare import AS_IT_IS, Rotate
from afmc.simulator.tile_linear import TileLinear, pieces_of
from afmc.simulator.tiles import program
from afmc.targets import load_target

ROWS, COLS = 192, 40


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error_with(x: Tensor, weight: Tensor, name: str, input_range: float) -> float:
    linear = nn.Linear(ROWS, COLS, bias=False)
    linear.weight.data = weight
    layer = TileLinear(linear, load_target(name).without_noise(), input_range=input_range)
    wanted = x @ weight.T
    return float((layer(x) - wanted).norm() / wanted.norm())


def test_the_range_is_the_best_of_those_that_were_tried() -> None:
    x, weight = drawn(200, ROWS), drawn(COLS, ROWS, seed=1)
    x[3, 5] = 40  # one outlier: its size is no range for all others
    target = load_target("afm-512-projected")
    found, errors = range_of(x, torch.ones(200), [weight], [AS_IT_IS], target)
    assert found < 40 and errors[min(errors, key=lambda each: abs(each - found))] == min(
        errors.values()
    )
    with torch.no_grad():
        again = {each: error_with(x, weight, "afm-512-projected", each) for each in errors}
    assert again == pytest.approx(dict(errors), rel=1e-3)


def test_an_input_of_zeros_has_no_range() -> None:
    target = load_target("afm-512-projected")
    found = range_of(torch.zeros(4, ROWS), torch.ones(4), [drawn(COLS, ROWS)], [AS_IT_IS], target)
    assert found == (0.0, {})


def test_rare_inputs_count_as_often_as_they_are() -> None:
    """A sample of which each stands for many gives the range that all of them give."""
    weight, target = drawn(COLS, ROWS, seed=1), load_target("afm-512-projected")
    many = drawn(400, ROWS)
    many[0] *= 30
    some, stands_for = many[:40], torch.ones(40)
    stands_for[1:] = 399 / 39
    whole, _ = range_of(many, torch.ones(400), [weight], [AS_IT_IS], target)
    sampled, _ = range_of(some, stands_for, [weight], [AS_IT_IS], target)
    assert sampled == pytest.approx(whole, rel=0.35)


def test_a_limit_is_chosen_where_devices_make_weights_better_with_it() -> None:
    target = load_target("afm-512-projected")
    rotation = rotation_of(ROWS)
    assert rotation is not None
    limit, errors = clip_of(drawn(COLS, ROWS), Rotate(rotation), target, seed=0)
    assert limit is not None and errors[limit] == min(errors.values()) < errors[None]
    assert None in errors and set(errors) <= set(LIMITS)
    perfect = target.without_noise()
    assert clip_of(drawn(COLS, ROWS), None, perfect, seed=0) == (None, {})


def test_what_wires_lose_is_made_up_for() -> None:
    """On perfect devices behind wires, written so and as it is."""
    converters = ("gain_std", "offset_std_steps", "inl_steps", "noise_steps")
    noise = [*(f"output.{each}" for each in converters), "device.stuck_off_rate"]
    target = load_target("hermes-64", dict.fromkeys(noise, 0.0))
    assert target.crossbar.wire_row_ohm and target.crossbar.wire_column_ohm
    weight = drawn(COLS, ROWS)
    weight = weight.clamp(-2, 2)
    pieces = pieces_of(ROWS, COLS, target, "full")
    plain = program(weight, pieces, target, None, seed=0, instance=0).weight
    written = made_up_for(weight, pieces, target)
    behind = program(weight, pieces, target, None, seed=0, instance=0, written=written).weight
    before, after = ((each - weight).norm() / weight.norm() for each in (plain, behind))
    assert float(after) < 0.55 * float(before)
    # Only weights at full conductance are not reached.
    possible = weight.abs() < 0.8 * weight.abs().amax(dim=1, keepdim=True)
    assert float((behind - weight)[possible].norm() / weight[possible].norm()) < 0.01


def test_without_wires_weights_are_written_as_they_are() -> None:
    target, weight = load_target("afm-512-projected"), drawn(COLS, ROWS)
    assert made_up_for(weight, pieces_of(ROWS, COLS, target, "full"), target) is weight


class Small(nn.Module):
    """Two layers and logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(12, 16), nn.Linear(16, 8)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


@pytest.mark.parametrize("name", ["first", "last"])
def test_sensitivities_predict_the_divergence_of_small_errors(name: str) -> None:
    module, x = Small(), drawn(4000, 12)
    found = sensitivities(module, {name: name}, list(torch.split(x, 500)))[name]
    with torch.no_grad():
        before = functional.log_softmax(module(x), dim=-1)
        noise: Any = 0.02 * drawn(4000, len(found), seed=5)
        handle = getattr(module, name).register_forward_hook(lambda _, __, y: y + noise)
        after = functional.log_softmax(module(x), dim=-1)
        handle.remove()
    measured = float(functional.kl_div(after, before, log_target=True, reduction="sum")) / 4000
    predicted = 0.5 * 0.02**2 * float(found.sum())
    assert math.isclose(measured, predicted, rel_tol=0.15)


def test_sensitivities_leave_the_module_as_it_was() -> None:
    module, x = Small(), drawn(8, 12)
    before = module(x)
    sensitivities(module, {"first": "first"}, [x])
    assert torch.equal(module(x), before)
    assert not any(each._forward_hooks for each in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())


class Detached(Small):
    """What computes without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def test_without_gradients_a_relative_error_counts_alike() -> None:
    module, x = Detached(), drawn(100, 12)
    with pytest.raises(NoGradients):
        sensitivities(module, {"first": "first"}, [x])
    found = by_size(module, {"first": "first", "last": "last"}, list(torch.split(x, 40)))
    products = {"first": module.first(x), "last": module.last(torch.tanh(module.first(x)))}
    for name, product in products.items():
        wrong = 0.1 * product  # a tenth of every product
        assert 0.5 * float((wrong.square() @ found[name]).mean()) == pytest.approx(0.01)
