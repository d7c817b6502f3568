"""Arrays of samples: read, checked, and fitted to a model's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afmc.data.samples import Input, Samples, fitted, read_samples
from afmc.errors import SampleError

IMAGES = np.zeros((3, 2, 2), np.float64)
WANTED = (Input("x", np.dtype("f4"), (None, 2, None)),)


def test_read_and_fitted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=IMAGES, labels=np.array([0, 2, 1], np.uint8))
    found = fitted(read_samples(tmp_path / "a.npz"), WANTED, "net")
    assert list(found.arrays) == ["x"] and found.arrays["x"].dtype == np.float32
    assert (len(found), found.name) == (3, "a.npz")
    assert [len(each) for each in found.batches(2)] == [2, 1]
    few = found.first(2)
    assert few.labels is not None and few.labels.tolist() == [0, 2]
    assert few.sha256 != found.sha256 == fitted(found, WANTED, "net").sha256


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "a.npz has no array 'inputs'."),
        ({"labels": [1]}, "a.npz has no array 'inputs'."),
        ({"inputs": IMAGES[:0]}, "a.npz has no samples."),
        ({"inputs": 1.0}, "a.npz has no samples."),
        (
            {"inputs": IMAGES, "labels": [1]},
            "a.npz has different numbers of samples: 3 in 'inputs' and 1 in 'labels'.",
        ),
        (
            {"inputs": IMAGES, "labels": [0.0, 1.0, 2.0]},
            "the labels of a.npz are 3 float64: they must be whole numbers, one for each sample.",
        ),
        (
            {"inputs": IMAGES, "labels": [-1, 0, 1]},
            "the labels of a.npz begin at -1: count from 0.",
        ),
        (
            {"inputs": np.array([{}])},
            "a.npz cannot be read as an .npz file of plain arrays (inputs in it holds objects,"
            " which are not read): write it with np.savez.",
        ),
    ],
)  # fmt: skip
def test_sentence(arrays: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SampleError) as error:
        read_samples(tmp_path / "a.npz")
    assert str(error.value).removeprefix(f"{tmp_path}/") == sentence


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"the samples .*gone\.npz do not exist\."):
        read_samples(tmp_path / "gone.npz")
    with pytest.raises(SampleError, match=r"are a folder; name an \.npz file\."):
        read_samples(tmp_path)
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(SampleError, match=r"is a single array: write it with np\.savez"):
        read_samples(tmp_path / "a.npy")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SampleError, match=r"cannot be read as an \.npz file of plain arrays"):
        read_samples(tmp_path / "text")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"y": IMAGES}, "s has no array for the input 'x' of net; it has 'y'."),
        (
            {"x": IMAGES[:, 0]},
            "'x' of s is 3 x 2 float64, but net reads samples x 2 x any.",
        ),
        (
            {"x": IMAGES[:, :1]},
            "'x' of s is 3 x 1 x 2 float64, but net reads samples x 2 x any.",
        ),
        ({"x": IMAGES + np.nan}, "'x' of s has values that are not finite."),
    ],
)
def test_does_not_fit(arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SampleError) as error:
        fitted(Samples(arrays, name="s"), WANTED, "net")
    assert str(error.value) == sentence


def test_numbers_are_not_converted_without_a_decision() -> None:
    wanted = (Input("x", np.dtype("i8"), None),)
    with pytest.raises(SampleError) as error:
        fitted(Samples({"x": IMAGES}, name="s"), wanted, "net")
    assert str(error.value) == (
        "'x' of s is float64, but net reads int64: convert it as it was for training."
    )
    pixels = Samples({"inputs": IMAGES.astype(np.uint8)}, name="s")
    with pytest.raises(SampleError, match="is uint8, but net reads float32"):
        fitted(pixels, WANTED, "net")
