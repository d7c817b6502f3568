"""Rotations: orthogonal, and as cheap as they say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afmc.program.rotation import rotation_of
from afmc.simulator.prepare import Preparation, Rotate

# Sizes of families: Sylvester, Paley I (768, 784, 1600), Paley II (576, 896, 4864), cosines (25).
SIZES = (1, 2, 7, 25, 64, 100, 576, 768, 784, 896, 1536, 1600, 2560, 4864)


@pytest.mark.parametrize("size", SIZES)
def test_a_rotation_is_orthogonal_and_what_its_factors_say(size: int) -> None:
    rotation = rotation_of(size, seed=3)
    assert rotation is not None and rotation.size == size
    rotate = Rotate(rotation)
    whole = rotate(torch.eye(size))
    assert torch.allclose(whole @ whole.T, torch.eye(size), atol=1e-5)
    dense = torch.ones(1, 1)
    for factor in rotation.matrices():
        dense = torch.kron(dense, torch.from_numpy(factor))
    expected = torch.from_numpy(rotation.signs())[:, None] * dense
    assert torch.allclose(whole, expected, atol=1e-5)


@pytest.mark.parametrize("size", [size for size in SIZES if size > 60])
def test_one_large_value_is_spread_over_all(size: int) -> None:
    rotation = rotation_of(size)
    assert rotation is not None
    x = torch.zeros(size)
    x[5] = 1
    # Entries of a Hadamard matrix are all alike; cosines are up to the root of 2 larger.
    assert float(Rotate(rotation)(x).abs().max()) <= (2 / size) ** 0.5 * 1.0001


def test_costs_are_those_of_fast_transforms() -> None:
    powers, mixed, cosines = (rotation_of(size) for size in (4096, 1536, 11008))
    assert powers is not None and (powers.additions, powers.macs) == (4096 * 12, 0)
    assert mixed is not None and (mixed.additions, mixed.macs) == (1536 * (12 + 7), 0)
    assert cosines is not None and (cosines.additions, cosines.macs) == (11008 * 8, 11008 * 43)


@pytest.mark.parametrize("size", [509, 1031, 2 * 4099])
def test_what_would_cost_as_much_as_a_matrix_is_left_alone(size: int) -> None:
    assert rotation_of(size) is None


@given(st.integers(1, 600), st.integers(0, 5), st.integers(0, 2**31))
def test_products_stay(size: int, cols: int, seed: int) -> None:
    rotation = rotation_of(size, seed)
    if rotation is None:
        return
    generator = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(n, size, generator=generator) for n in (3, cols))
    prepare = Preparation(Rotate(rotation))
    found = prepare.inputs(x) @ prepare.weights(weight).T
    assert torch.allclose(found, x @ weight.T, atol=1e-3 * size**0.5)


def test_limits_cut_what_is_beyond_so_many_root_mean_squares() -> None:
    weight = torch.tensor([[1.0, -1.0, 1.0, -9.0], [0.0, 0.0, 0.0, 0.0]])
    held = Preparation(clip=1.5).weights(weight)
    limit = 1.5 * (84 / 4) ** 0.5
    assert torch.allclose(held[0], torch.tensor([1.0, -1.0, 1.0, -limit]))
    assert torch.equal(held[1], weight[1])
