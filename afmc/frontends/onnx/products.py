"""The constant matrices of an ONNX graph: which nodes multiply by them, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from afmc.frontends.graph import reasons
from afmc.frontends.graph.windows import Sizes, Windows, same_padding
from afmc.program.model import Stored

Array = NDArray[Any]

ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Product:
    """``activation @ weight + bias`` in one node."""

    node: NodeProto
    activation: str
    """Name of the value that it reads."""
    weight: str
    """Name of the constant."""
    stored: Stored
    bias: str | None = None
    windows: Windows | None = None
    """Windows of a convolution."""

    @property
    def output(self) -> str:
        return self.node.output[0]


class Constants:
    """The constants of a graph by name, seen through what only hands on or transposes them."""

    def __init__(self, graph: GraphProto) -> None:
        self.tensors: dict[str, TensorProto] = {each.name: each for each in graph.initializer}
        self.makers: dict[str, NodeProto] = {}
        """Nodes that make a constant of constants."""
        fed = {each.name for each in graph.input} - set(self.tensors)
        self.known = set(self.tensors) | {s.values.name for s in graph.sparse_initializer}
        for node in graph.node:
            if node.op_type == "Constant" and (tensor := _tensor_of(node)) is not None:
                self.tensors[node.output[0]] = tensor
            if all(name in self.known for name in node.input if name) and not _draws(node):
                self.makers.update(dict.fromkeys(node.output, node))
                self.known.update(node.output)
        self.fed = fed
        self._arrays: dict[str, Array] = {}

    def array(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self.tensors[name])
        return self._arrays[name]

    def matrix(self, name: str) -> tuple[str, bool] | None:
        """The tensor that a 2-D constant is, and whether it is transposed on the way."""
        transposed = False
        while name not in self.tensors:
            node = self.makers.get(name)
            if node is None or node.op_type not in ("Identity", "Transpose"):
                return None
            if node.op_type == "Transpose":
                order = attributes_of(node).get("perm")
                if order not in (None, [1, 0]):
                    return None
                transposed = not transposed
            name = node.input[0]
        return name, transposed

    def dims(self, name: str) -> Sizes:
        return tuple(self.tensors[name].dims)

    def is_floating(self, name: str) -> bool:
        kind = TensorProto.DataType.Name(self.tensors[name].data_type)
        return "FLOAT" in kind or kind == "DOUBLE"

    def is_float32(self, name: str) -> bool:
        return self.tensors[name].data_type == TensorProto.FLOAT


def attributes_of(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def operator_of(node: NodeProto) -> str:
    """``onnx.Gemm``; of another domain ``com.microsoft.Gelu``."""
    return f"{'onnx' if node.domain in ONNX_DOMAINS else node.domain}.{node.op_type}"


def product_of(node: NodeProto, constants: Constants) -> Product | str | None:
    """A product with a matrix; or why one that looks alike is none; or None for other nodes."""
    if node.domain not in ONNX_DOMAINS:
        return None
    if node.op_type == "MatMul":
        return _matmul(node, constants)
    if node.op_type == "Gemm":
        return _gemm(node, constants)
    if node.op_type == "Conv":
        return _convolution(node, constants)
    return None


def _matmul(node: NodeProto, constants: Constants) -> Product | str:
    left, right = node.input
    if left in constants.known and right in constants.known:
        return reasons.CONSTANT
    if left in constants.known:
        return reasons.WEIGHT_ON_THE_LEFT
    if right not in constants.known:
        return reasons.TWO_ACTIVATIONS
    return _with_weight(node, left, right, "rows_cols", None, constants)


def _gemm(node: NodeProto, constants: Constants) -> Product | str:
    left, right, *rest = node.input
    said = attributes_of(node)
    if right not in constants.known:
        known = left in constants.known
        return reasons.WEIGHT_ON_THE_LEFT if known else reasons.TWO_ACTIVATIONS
    if left in constants.known:
        return reasons.CONSTANT
    if said.get("transA") or said.get("alpha", 1.0) != 1 or said.get("beta", 1.0) != 1:
        return reasons.SCALED_GEMM
    upright: Stored = "cols_rows" if said.get("transB") else "rows_cols"
    bias = rest[0] if rest and rest[0] else None
    return _with_weight(node, left, right, upright, bias, constants)


def _with_weight(
    node: NodeProto, left: str, right: str, upright: Stored, bias: str | None, constants: Constants
) -> Product | str:
    found = constants.matrix(right)
    if found is None:
        return reasons.COMPUTED
    weight, transposed = found
    if len(constants.dims(weight)) != 2:
        return reasons.NOT_A_MATRIX
    if not constants.is_float32(weight):
        return reasons.NOT_FLOAT
    stored: Stored = upright
    if transposed:
        stored = "rows_cols" if upright == "cols_rows" else "cols_rows"
    cols = constants.dims(weight)[1 if stored == "rows_cols" else 0]
    if bias is not None and not _is_vector(bias, cols, constants):
        return reasons.OTHER_BIAS
    return Product(node, left, weight, stored, bias)


def _is_vector(name: str, length: int, constants: Constants) -> bool:
    dims = constants.dims(name) if name in constants.tensors else ()
    return dims in ((length,), (1, length)) and constants.is_float32(name)


def _convolution(node: NodeProto, constants: Constants) -> Product | str:
    activation, weight, *rest = node.input
    if weight not in constants.known:
        return reasons.TWO_ACTIVATIONS
    if activation in constants.known:
        return reasons.CONSTANT
    if weight not in constants.tensors:
        return reasons.COMPUTED
    if not constants.is_float32(weight):
        return reasons.NOT_FLOAT
    said = attributes_of(node)
    outputs, *_ = dims = constants.dims(weight)
    bias = rest[0] if rest and rest[0] else None
    if said.get("group", 1) != 1:
        return reasons.IN_GROUPS
    if len(dims) not in (3, 4):
        return reasons.DIMENSIONS
    if bias is not None and not _is_vector(bias, outputs, constants):
        return reasons.OTHER_BIAS
    windows = _windows(dims[2:], said)
    if windows is None:
        return reasons.PADDED_BY_SIZE
    return Product(node, activation, weight, "cols_rows", bias, windows)


def _windows(kernel: Sizes, said: Mapping[str, Any]) -> Windows | None:
    """None where the padding follows from the size of the input in a way that is not known here."""
    ones, dims = (1,) * len(kernel), len(kernel)
    stride = tuple(said.get("strides", ones))
    dilation = tuple(said.get("dilations", ones))
    pads = tuple(said.get("pads", (0,) * (2 * dims)))
    before, after = pads[:dims], pads[dims:]
    auto = said.get("auto_pad", b"NOTSET")
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        if stride != ones:
            return None
        before, after = same_padding(kernel, dilation)
        if auto == b"SAME_LOWER":
            before, after = after, before
    elif auto == b"VALID":
        before = after = (0,) * dims
    return Windows(kernel, stride, dilation, before, after)


def in_branches(graph: GraphProto) -> Iterator[tuple[NodeProto, str]]:
    """Nodes of branches and loop bodies, with the node that they are in."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                region = f"{node.op_type} {node.name or node.output[0]}"
                yield from ((each, region) for each in inner.node)
                yield from in_branches(inner)


def read_in_branches(graph: GraphProto) -> Iterator[str]:
    """Names that nodes of branches read, of values around them among others."""
    for node, _ in in_branches(graph):
        yield from node.input


def _tensor_of(node: NodeProto) -> TensorProto | None:
    value = attributes_of(node).get("value")
    if not isinstance(value, TensorProto):
        return None
    return value


def _draws(node: NodeProto) -> bool:
    """Whether it draws random numbers, or has branches that may read anything."""
    random = node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial")
    return random or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute)


def sizes_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """Declared sizes, None for each that may be any; None where nothing is declared."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def dtype_of(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
