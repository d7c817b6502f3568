"""Principal directions: found in one pass, and what is measured along them is taken back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from afmc.program.recovery_work import probes_of
from afmc.recovery.spectrum import look_at_activations
from afmc.simulator.directions import Directions, measure_errors

ROWS, COLS = 48, 20


def activations(count: int, seed: int = 0) -> Tensor:
    """About a mean, with falling energies."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(ROWS, ROWS, generator=torch.Generator().manual_seed(9))).Q
    sizes = 2.0 ** -torch.arange(ROWS)
    drawn = torch.randn(count, ROWS, generator=generator) * sizes
    return drawn @ basis.T + 0.3


def exact(x: Tensor, count: int) -> Directions:
    mean = x.mean(dim=0)
    centred = x - mean
    energy, basis = torch.linalg.eigh(centred.T @ centred / len(x))
    energy, basis = energy.flip(0).clamp(min=1e-9), basis.flip(1)
    return Directions(mean, basis[:, :count], energy[:count], float(energy[count:].sum()) / ROWS)


def test_one_pass_finds_the_mean_and_the_largest_directions() -> None:
    module = nn.Sequential(nn.Linear(ROWS, COLS))
    x = activations(4000)
    seen = look_at_activations(module, {"input": "0"}, list(torch.split(x, 500)), seed=1)
    found, wanted = seen.directions["input"], exact(x, 8)
    assert torch.allclose(found.mean, wanted.mean, atol=1e-4)
    assert torch.allclose(found.energy[:8], wanted.energy, rtol=1e-3)
    overlap = (found.basis[:, :8].T @ wanted.basis).abs().diagonal()
    assert float(overlap.min()) > 0.999
    whole = (x - wanted.mean).square().sum(dim=1).mean()
    assert float(found.energy.sum()) + found.rest * ROWS == pytest.approx(float(whole), rel=1e-3)
    assert seen.largest["input"] == float(x.abs().max())


def test_samples_stand_for_all_inputs() -> None:
    module = nn.Sequential(nn.Linear(ROWS, COLS))
    x = activations(4000)
    x[7] *= 100  # rare, and of most of the energy
    seen = look_at_activations(module, {"i": "0"}, list(torch.split(x, 500)))
    samples, stands_for = seen.samples["i"]
    assert len(samples) == len(stands_for) == 256
    assert float(stands_for.sum()) == pytest.approx(4000, rel=0.2)
    assert any(torch.equal(each, x[7]) for each in samples)
    square = float(stands_for @ samples.square().sum(dim=1))
    assert square == pytest.approx(float(x.square().sum()), rel=0.2)


def test_an_activation_that_never_varies_has_a_mean_and_no_direction() -> None:
    module = nn.Sequential(nn.Linear(ROWS, COLS))
    found = look_at_activations(module, {"i": "0"}, [torch.zeros(9, ROWS)]).directions["i"]
    assert len(found) == 0 and not found.mean.any() and found.rest == 0


def linear_error(seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(COLS, ROWS, generator=generator)
    wrong = weight + 0.3 * torch.randn(COLS, ROWS, generator=generator)
    offset = torch.randn(COLS, generator=generator)
    return (lambda x: x @ weight.T), (lambda x: x @ wrong.T + offset)


@pytest.mark.parametrize("rank", [0, 1, 4, ROWS])
def test_what_a_layer_does_wrong_along_directions_is_taken_back(rank: int) -> None:
    wanted, tiles = linear_error()
    x = activations(4000)
    directions = exact(x, ROWS).first(rank)
    errors = measure_errors(directions, 64, wanted, tiles, torch.Generator().manual_seed(0))
    corrected = tiles(x).clone()
    errors.add_to(corrected, x)
    left = wanted(x) - corrected
    # All that is left is the error outside of the directions.
    inside = (x - directions.mean) @ directions.basis @ directions.basis.T
    outside = x - directions.mean - inside
    floor = float((tiles(outside) - tiles(torch.zeros(1, ROWS)) - wanted(outside)).square().mean())
    assert float(left.square().mean()) < 1.1 * floor + 1e-6
    assert float(left.square().mean()) < float((wanted(x) - tiles(x)).square().mean())


def test_probes_lie_where_inputs_do_and_directions_do_not_disturb_one_another() -> None:
    directions = exact(activations(4000), 6)
    x, along = directions.probes(16, torch.Generator().manual_seed(0))
    assert x.shape == (probes_of(6, 16), ROWS) == (128, ROWS)
    gram = along.T @ along / len(along)
    assert torch.allclose(gram, directions.energy.diag(), atol=1e-6)
    assert torch.allclose(along.mean(dim=0), torch.zeros(6), atol=1e-6)
    again, _ = directions.probes(16, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)


@pytest.mark.parametrize(
    ("rank", "reads", "count"), [(0, 16, 64), (4, 16, 64), (5, 16, 128), (64, 1, 128)]
)
def test_probes_are_a_power_of_two(rank: int, reads: int, count: int) -> None:
    assert probes_of(rank, reads) == count
