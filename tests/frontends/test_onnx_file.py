"""ONNX files that are damaged, or reach for what is not theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphs import graph, node, weights, write
from onnx import ModelProto, TensorProto, numpy_helper

from afmc.errors import ModelError
from afmc.frontends.onnx.file import read


def model() -> ModelProto:
    return graph([node("MatMul", "x w", "y")], {"w": weights(6, 4)}, ("n", 6))


def beside(location: str, offset: str | None = None, length: str | None = None) -> ModelProto:
    """The weight is said to be in another file."""
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    return made


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(b"junk" + weights(6, 4).tobytes())
    found, digest = read(write(beside("sub/w.bin", "4", "96"), tmp_path))
    np.testing.assert_array_equal(numpy_helper.to_array(found.graph.initializer[0]), weights(6, 4))
    (tmp_path / "sub" / "w.bin").write_bytes(b"junk" + weights(6, 4, seed=1).tobytes())
    assert read(tmp_path / "model.onnx")[1] != digest


OUTSIDE = "keeps w in {!r}, which is not in its own folder: that is not read."


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda folder: beside("../secret"), OUTSIDE.format("../secret")),
        (lambda folder: beside(str(folder / "secret")), "which is not in its own folder"),
        (lambda folder: beside("link"), OUTSIDE.format("link")),
        (lambda folder: beside(""), OUTSIDE.format("")),
        (lambda folder: beside("."), OUTSIDE.format(".")),
        (
            lambda folder: beside("gone"),
            "in gone, which cannot be read: No such file or directory.",
        ),
        (
            lambda folder: beside("w.bin", "0", "97"),
            "in w.bin, which has no such bytes: the file is damaged or cut short.",
        ),
        (lambda folder: beside("w.bin", "-1"), "which has no such bytes"),
        (lambda folder: beside("w.bin", "x"), "which has no such bytes"),
        (lambda folder: beside("w.bin", "0", "95"), "is not a valid ONNX model: "),
    ],
)
def test_weights_elsewhere_are_not_read(
    made: Callable[[Path], ModelProto], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(weights(6, 4).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(weights(6, 4).tobytes())
    os.symlink(tmp_path / "secret", folder / "link")
    path = write(made(tmp_path), folder)
    with pytest.raises(ModelError) as error:
        read(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not an ONNX file, or its graph is empty."),
        (b"GGUF" * 9, "is not an ONNX file, or is damaged or cut short."),
        (model().SerializeToString()[:-20], "is not an ONNX file, or is damaged or cut short."),
    ],
)
def test_damaged(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read(path)
    assert str(error.value) == f"{path} {sentence}"


def test_a_graph_that_reads_nothing_known_is_refused(tmp_path: Path) -> None:
    made = model()
    made.graph.node[0].input[1] = "gone"
    with pytest.raises(ModelError, match=r"is not a valid ONNX model: .*gone"):
        read(write(made, tmp_path))
