"""Small ONNX graphs and torch networks, and what onnxruntime makes of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx.shape_inference
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

Array = NDArray[Any]


def node(operator: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs.split(), output.split(), **attributes)


def graph(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array],
    sizes: Sequence[int | str | None],
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 20,
) -> onnx.ModelProto:
    """From ``x`` of these sizes to the last node's output."""
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, sizes)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)  # an output must say its sizes
    for output in inferred.graph.output:
        output.type.tensor_type.shape.SetInParent()
    return inferred


def write(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def weights(*sizes: int, seed: int = 0) -> Array:
    drawn = np.random.default_rng(seed).standard_normal(sizes)
    return (drawn / np.sqrt(np.prod(sizes[1:] or (1,)))).astype(np.float32)


def onnxruntime_says(path: Path, **inputs: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    return np.asarray(session.run(None, inputs)[0])


class Digits(nn.Module):
    """A small classifier of images of 8 x 8 with most of what such networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, padding=1)
        self.second = nn.Conv2d(6, 8, (3, 2), stride=2, bias=False)
        self.head = nn.Linear(8 * 3 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.second(self.depthwise(x)))
        return self.head(x.flatten(1))


def digits() -> Digits:
    """In evaluation mode, the same one every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Digits().eval()


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
