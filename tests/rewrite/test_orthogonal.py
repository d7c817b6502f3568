"""Hadamard matrices without tables, and rotations that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from afmc.rewrite.orthogonal import rotation, spread


@pytest.mark.parametrize("size", [1, 2, 12, 20, 28, 36, 64, 76, 576, 1536])
def test_sizes_with_a_hadamard_matrix(size: int) -> None:
    found = spread(size)
    assert found is not None and (np.abs(found) == 1).all()
    assert (found @ found.T == size * np.eye(size)).all()


@pytest.mark.parametrize("size", [3, 6, 30, 49, 92])
def test_sizes_without_one(size: int) -> None:
    assert spread(size) is None


@pytest.mark.parametrize("size", [1, 2, 7, 30, 32, 48])
@pytest.mark.parametrize("keeps_ones", [False, True])
def test_a_rotation_is_orthogonal_and_the_same_again(size: int, keeps_ones: bool) -> None:
    found = rotation(size, 5, keeps_ones=keeps_ones)
    assert np.allclose(found @ found.T, np.eye(size), atol=1e-12)
    assert (found == rotation(size, 5, keeps_ones=keeps_ones)).all()
    if keeps_ones:
        assert np.allclose(found @ np.ones(size), 1, atol=1e-12)
        assert np.allclose(np.ones(size) @ found, 1, atol=1e-12)
    if size > 7:
        assert not np.allclose(found, rotation(size, 6, keeps_ones=keeps_ones))


def test_a_rotation_spreads_one_channel_over_all() -> None:
    one = np.zeros(64)
    one[3] = 1
    assert np.abs(one @ rotation(64, 0)).max() == pytest.approx(1 / 8)
    assert np.abs(one @ rotation(64, 0, keeps_ones=True)).max() < 0.5
