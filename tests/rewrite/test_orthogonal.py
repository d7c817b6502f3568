"""Hadamard matrices without tables, and rotations that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from afmc.rewrite.orthogonal import base_of, hadamard, rotation

BASES = {1: 1, 2: 1, 64: 1, 12: 12, 20: 20, 28: 28, 36: 36, 576: 36, 1536: 12, 5632: 44, 4864: 76}
BASES |= {1600: 200, 18944: 148}


@pytest.mark.parametrize(("size", "base"), BASES.items())
def test_sizes_with_a_hadamard_matrix(size: int, base: int) -> None:
    assert base_of(size) == base
    if size < 2000:
        found = hadamard(size)
        assert found is not None and (np.abs(found) == 1).all()
        assert (found @ found.T == size * np.eye(size)).all()


@pytest.mark.parametrize("size", [0, 3, 6, 30, 49, 92])
def test_sizes_without_one(size: int) -> None:
    assert base_of(size) is None and hadamard(size) is None


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
