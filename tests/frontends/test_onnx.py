"""Matrices of ONNX graphs, reasons for all the rest, and values beside those of onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Array, graph, node, onnxruntime_says, weights, write
from onnx import NodeProto, TensorProto, helper, numpy_helper

from afmc.errors import ModelError
from afmc.frontends.graph import reasons
from afmc.frontends.graph.matrices import Structure
from afmc.frontends.loaded import Loaded
from afmc.frontends.network import parameters_in
from afmc.frontends.onnx.load import load
from afmc.program.model import Matrix

Nodes = Sequence[NodeProto]
Constants = Mapping[str, Array]
Sizes = Sequence[int | str | None]


def loaded(folder: Path, nodes: Nodes, constants: Constants, sizes: Sizes, **more: Any) -> Loaded:
    return load(write(graph(nodes, constants, sizes, **more), folder), "model.onnx")


def structure(model: Loaded) -> Structure:
    assert model.graph is not None
    return model.graph.structure(None)


def reasons_of(model: Loaded) -> dict[str, str]:
    return {rest.operation: rest.reason for rest in structure(model).remainder}


GRAPHS: dict[str, tuple[Nodes, Constants, Sizes]] = {
    "gemm": (
        [node("Gemm", "x w b", "y", transB=1)],
        {"w": weights(4, 6), "b": weights(4)},
        ("n", 6),
    ),
    "gemm upright": ([node("Gemm", "x w", "y")], {"w": weights(6, 4)}, ("n", 6)),
    "matmul of vectors in rows": ([node("MatMul", "x w", "y")], {"w": weights(6, 4)}, (2, 3, 6)),
    "matmul with a transposed weight": (
        [node("Transpose", "w", "t"), node("MatMul", "x t", "y")],
        {"w": weights(4, 6)},
        ("n", 6),
    ),
    "matmul with a constant of a node": (
        [
            node("Constant", "", "w", value=numpy_helper.from_array(weights(2, 3))),
            node("Identity", "w", "same"),
            node("MatMul", "x same", "y"),
        ],
        {},
        ("n", 2),
    ),
    "convolution": (
        [node("Conv", "x w b", "y", pads=(0, 1, 2, 0), strides=(2, 1), dilations=(1, 2))],
        {"w": weights(4, 3, 3, 2), "b": weights(4)},
        ("n", 3, 7, 6),
    ),
    "convolution in one dimension": (
        [node("Conv", "x w", "y", auto_pad="SAME_UPPER")],
        {"w": weights(4, 3, 4)},
        ("n", 3, 7),
    ),
    "convolution in groups, pooling": (
        [
            node("Conv", "x w b", "a", group=2, pads=(1, 1, 1, 1)),
            node("MaxPool", "a", "m", kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 0, 1)),
            node("AveragePool", "m", "p", kernel_shape=(2, 2), pads=(1, 1, 1, 1)),
            node("AveragePool", "p", "q", kernel_shape=(2, 2)),
            node("GlobalAveragePool", "q", "g"),
            node("Flatten", "g", "f"),
            node("Gemm", "f v", "y"),
        ],
        {"w": weights(4, 2, 3, 3), "b": weights(4), "v": weights(4, 3)},
        ("n", 4, 6, 8),
    ),
    "one weight used twice": (
        [node("MatMul", "x w", "a"), node("Relu", "a", "r"), node("MatMul", "r w", "y")],
        {"w": weights(6, 6)},
        ("n", 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_computes_what_onnxruntime_does(name: str, tmp_path: Path) -> None:
    nodes, constants, sizes = GRAPHS[name]
    model = loaded(tmp_path, nodes, constants, sizes)
    assert structure(model).matrices
    x = weights(*(3 if isinstance(size, str) else int(size or 0) for size in sizes), seed=1)
    expected = onnxruntime_says(tmp_path / "model.onnx", x=x)
    np.testing.assert_allclose(model.module(torch.from_numpy(x)), expected, atol=2e-6)


def test_a_convolution_is_the_matrix_of_its_windows(tmp_path: Path) -> None:
    found = structure(loaded(tmp_path, *GRAPHS["convolution"]))
    assert found.matrices == (
        Matrix(
            name="w",
            rows=3 * 3 * 2,
            cols=4,
            input="x:windows(3x2 stride 2x1 dilation 1x2 padding 0+2x1+0)",
            per_token=4 * 5,
            module="w",
            operation="onnx.Conv",
            bias="b",
        ),
    )


def test_matrices_know_what_they_are_computed_from(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x a", "1"),
        node("Add", "1 x", "2"),
        node("MatMul", "2 b", "3"),
        node("Add", "3 2", "4"),
        node("MatMul", "4 c", "5"),
        node("TopK", "5 k", "values places"),
        node("Add", "values one", "y"),
    ]
    constants = {key: weights(4, 4) for key in "abc"}
    more: dict[str, Array] = {"k": np.array([2]), "one": weights(2)}
    found = structure(loaded(tmp_path, nodes, {**constants, **more}, ("n", 4)))
    assert {m.name: (m.input, m.sources, m.chooses) for m in found.matrices} == {
        "a": ("x", (), False),
        "b": ("2", ("a",), False),
        "c": ("4", ("b",), True),
    }


def test_every_weight_is_counted_once(tmp_path: Path) -> None:
    nodes = [
        node("Gather", "table x", "e"),
        node("LayerNormalization", "e scale shift", "n"),
        node("Transpose", "table", "t"),
        node("MatMul", "n t", "y"),
    ]
    constants = {
        "table": weights(9, 4),
        "scale": weights(4),
        "shift": weights(4),
        "rest": weights(3),
    }
    model = loaded(tmp_path, nodes, constants, (2, 5), kind=TensorProto.INT64)
    found = structure(model)
    assert parameters_in(found) == 9 * 4 + 4 + 4 + 3
    assert {(rest.operation, rest.weights) for rest in found.remainder} == {
        ("none", 3),
        ("onnx.Gather", 0),
        ("onnx.LayerNormalization", 8),
        ("onnx.Transpose", 0),
    }


def test_work_between_matrices_is_that_of_an_inference(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x q", "a"),
        node("Transpose", "x", "t", perm=(0, 2, 1)),
        node("MatMul", "a t", "scores"),
        node("Softmax", "scores", "y"),
    ]
    found = structure(loaded(tmp_path, nodes, {"q": weights(6, 6)}, (2, 3, 6)))
    assert found.matrices[0].per_token == 3
    assert [(w.after, w.kind, w.values) for w in found.work] == [
        ("q", "attention", 3 * 3 * 6),
        ("q", "softmax", 9),
    ]


WEIGHT = {"w": weights(4, 4), "k": weights(4, 4, 3), "b": weights(4)}
STAYS = [
    ([node("MatMul", "w x", "y")], (4, 2), reasons.WEIGHT_ON_THE_LEFT),
    ([node("MatMul", "x x", "y")], (4, 4), reasons.TWO_ACTIVATIONS),
    ([node("MatMul", "x k", "y")], (4, 2, 4), reasons.NOT_A_MATRIX),
    ([node("Gemm", "x w b", "y", alpha=0.5)], (2, 4), reasons.SCALED_GEMM),
    ([node("Gemm", "x w", "y", transA=1)], (4, 2), reasons.SCALED_GEMM),
    ([node("Mul", "w w", "s"), node("MatMul", "x s", "y")], (2, 4), reasons.COMPUTED),
    (
        [node("Conv", "x k", "y", strides=(2,), auto_pad="SAME_LOWER")],
        (1, 4, 9),
        reasons.PADDED_BY_SIZE,
    ),
    ([node("Conv", "x g", "y", group=2)], (1, 4, 5), reasons.IN_GROUPS),
    ([node("Conv", "x d", "y")], (1, 2, 3, 3, 3), reasons.DIMENSIONS),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "sizes", "why"), STAYS)
def test_stays_digital_with_a_reason(nodes: Nodes, sizes: Sizes, why: str, tmp_path: Path) -> None:
    more = {"g": weights(4, 2, 3), "d": weights(4, 2, 2, 2, 2)}
    model = loaded(tmp_path, nodes, {**WEIGHT, **more}, sizes)
    found = structure(model)
    assert found.matrices == ()
    assert reasons_of(model)[f"onnx.{nodes[-1].op_type}"] == why
    x = weights(*(int(size or 0) for size in sizes), seed=1)
    expected = onnxruntime_says(tmp_path / "model.onnx", x=x)
    np.testing.assert_allclose(model.module(torch.from_numpy(x)), expected, atol=2e-6)


def test_nodes_of_branches_are_listed(tmp_path: Path) -> None:
    def branch(operator: str) -> Any:
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT, (4, 4))
        return helper.make_graph([node(operator, "a w", "o")], operator, [], [out])

    nodes = [
        node("MatMul", "x w", "a"),
        node("ReduceSum", "x", "s", keepdims=0),
        node("Cast", "s", "c", to=TensorProto.BOOL),
        node("If", "c", "y", then_branch=branch("MatMul"), else_branch=branch("Add")),
    ]
    model = loaded(tmp_path, nodes, {"w": weights(4, 4)}, (4, 4))
    found = structure(model)
    assert [matrix.name for matrix in found.matrices] == ["w"]
    said = {rest.operation: rest.reason for rest in found.remainder}
    assert said["onnx.MatMul"] == "in If y: control flow is not lowered yet"
    x = weights(4, 4, seed=1)
    expected = onnxruntime_says(tmp_path / "model.onnx", x=x)
    np.testing.assert_allclose(model.module(torch.from_numpy(x)), expected, atol=2e-6)


@pytest.mark.parametrize(
    "name", ["fc.weight", "a..b", "forward", "x/y:0", "fc", ".", "fc.a.weight"]
)
def test_names_of_constants_may_be_anything(name: str, tmp_path: Path) -> None:
    constants = {name: weights(4, 4), "fc.weight" if name != "fc.weight" else "v": weights(4, 4)}
    first, second = constants
    nodes = [
        helper.make_node("MatMul", ["x", first], ["a"]),
        helper.make_node("MatMul", ["a", second], ["y"]),
    ]
    model = loaded(tmp_path, nodes, constants, ("n", 4))
    found = structure(model).matrices
    assert [matrix.name for matrix in found] == [first, second]
    for matrix in found:
        layer = model.module.get_submodule(matrix.module)
        assert isinstance(layer, torch.nn.Linear)
        np.testing.assert_array_equal(layer.weight, constants[matrix.name].T)


@pytest.mark.parametrize(
    ("nodes", "sizes", "sentence"),
    [
        (
            [helper.make_node("Odd", ["x"], ["y"], domain="com.example")],
            (2, 4),
            "model.onnx cannot be run by onnx's reference (Node type 'Odd' from domain"
            " 'com.example' is unknown, known functions: []).",
        ),
        (
            [node("MatMul", "x w", "y")],
            ("n", "m", 4),
            "the sizes of the input 'x' of model.onnx are not fixed: give samples of the size that"
            " it is for (--data FILE.npz).",
        ),
        (
            [node("Relu", "x", "y")],
            (),
            "the input 'x' of model.onnx is no tensor whose first dimension counts samples.",
        ),
        (
            [node("MatMul", "x w", "y")],
            (2, 5),
            "model.onnx cannot be run by onnx's reference (",
        ),
    ],
)
def test_sentence(nodes: Nodes, sizes: Sizes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        structure(loaded(tmp_path, nodes, WEIGHT, sizes))
    assert str(error.value).startswith(sentence)
