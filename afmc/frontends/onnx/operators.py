"""Operators that a graph runs with instead of its own, in a domain of their own.

`Product` and `Convolution` multiply by the layers of the module that is running, which may be on
tiles. `Pool` and `Grouped` are pooling and convolutions that stay digital: by torch, because onnx's
reference walks through every window in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper
from onnx.reference.op_run import OpRun
from torch import Tensor, nn
from torch.nn import functional

from afmc.frontends.graph.windows import Windows, fold, unfold
from afmc.frontends.onnx.products import ONNX_DOMAINS, Product, attributes_of

DOMAIN = "afmc"

Array = NDArray[Any]

_layers: ContextVar[Mapping[str, nn.Module]] = ContextVar("afmc_onnx_layers")

_POOLS = {
    1: {"MaxPool": functional.max_pool1d, "AveragePool": functional.avg_pool1d},
    2: {"MaxPool": functional.max_pool2d, "AveragePool": functional.avg_pool2d},
}
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d}


@contextmanager
def bind_layers(layers: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within it, products multiply by these layers, by name of the constant."""
    token = _layers.set(layers)
    try:
        yield
    finally:
        _layers.reset(token)


class _Product(OpRun):
    op_domain = DOMAIN

    def _run(self, x: Array, matrix: str = "", **_: Any) -> tuple[Array]:
        return (_array(_layers.get()[matrix](_tensor(x)), x),)


class _Convolution(OpRun):
    op_domain = DOMAIN

    def _run(self, x: Array, matrix: str = "", **said: Any) -> tuple[Array]:
        windows = _windows_in(said)
        values = _tensor(x)
        y = _layers.get()[matrix](unfold(values, **vars(windows)))
        return (_array(fold(y, values, **vars(windows)), x),)


class _Pool(OpRun):
    op_domain = DOMAIN

    def _run(self, x: Array, kind: str = "", **said: Any) -> tuple[Array]:
        windows = _windows_in(said)
        fill = float("-inf") if kind == "MaxPool" else 0.0
        padded = _padded(torch.from_numpy(x.copy()), windows, fill)
        more = {"dilation": windows.dilation} if kind == "MaxPool" else {}
        pool: Any = _POOLS[len(windows.kernel)][kind]
        return (pool(padded, windows.kernel, windows.stride, **more).numpy(),)


class _Grouped(OpRun):
    op_domain = DOMAIN

    def _run(
        self, x: Array, weight: Array, bias: Array | None = None, group: int = 1, **said: Any
    ) -> tuple[Array]:
        windows = _windows_in(said)
        convolve: Any = _CONVOLUTIONS[len(windows.kernel)]
        y = convolve(
            _padded(_tensor(x), windows, 0.0),
            _tensor(weight),
            None if bias is None else _tensor(bias),
            windows.stride,
            0,
            windows.dilation,
            group,
        )
        return (_array(y, x),)


for _operator, _name in (
    (_Product, "Product"),
    (_Convolution, "Convolution"),
    (_Pool, "Pool"),
    (_Grouped, "Grouped"),
):
    _operator.__name__ = _name  # by which onnx's reference finds it

OPERATORS: tuple[type[OpRun], ...] = (_Product, _Convolution, _Pool, _Grouped)


def replaced(node: NodeProto, product: Product | None) -> NodeProto:
    """The node to run in the place of a node: of this domain, or the node itself."""
    if product is not None:
        kind = "Product" if product.windows is None else "Convolution"
        said = {} if product.windows is None else vars(product.windows)
        return _node(kind, [product.activation], node, matrix=product.weight, **said)
    if node.domain in ONNX_DOMAINS and len([name for name in node.output if name]) == 1:
        said = attributes_of(node)
        if node.op_type in ("MaxPool", "AveragePool"):
            windows = _of_pool(node.op_type, said)
            if windows is not None:
                return _node("Pool", node.input, node, kind=node.op_type, **vars(windows))
        if node.op_type == "Conv":
            windows = _explicit(said)
            if windows is not None:
                group = said.get("group", 1)
                return _node("Grouped", node.input, node, group=group, **vars(windows))
    return node


def _of_pool(kind: str, said: Mapping[str, Any]) -> Windows | None:
    windows = None if said.get("ceil_mode") else _explicit(said)
    if windows is None or kind == "MaxPool":
        return windows
    plain = said.get("count_include_pad") or not any((*windows.before, *windows.after))
    return windows if plain and set(windows.dilation) == {1} else None


def _explicit(said: Mapping[str, Any]) -> Windows | None:
    """Windows over one or two dimensions, whose padding is said in numbers."""
    kernel = tuple(said.get("kernel_shape", ()))
    auto = said.get("auto_pad", b"NOTSET")
    if len(kernel) not in (1, 2) or auto not in (b"NOTSET", b"VALID"):
        return None
    ones = (1,) * len(kernel)
    pads = tuple(said.get("pads", (0,) * (2 * len(kernel)))) if auto == b"NOTSET" else (0,) * 4
    return Windows(
        kernel,
        tuple(said.get("strides", ones)),
        tuple(said.get("dilations", ones)),
        pads[: len(kernel)],
        pads[len(kernel) : 2 * len(kernel)],
    )


def _node(operator: str, inputs: Sequence[str], node: NodeProto, **said: Any) -> NodeProto:
    return helper.make_node(
        operator, list(inputs), list(node.output), name=node.name, domain=DOMAIN, **said
    )


def _windows_in(said: Mapping[str, Any]) -> Windows:
    return Windows(
        *(tuple(said[key]) for key in ("kernel", "stride", "dilation", "before", "after"))
    )


def _padded(x: Tensor, windows: Windows, value: float) -> Tensor:
    ends = zip(reversed(windows.before), reversed(windows.after), strict=True)
    sizes = [each for pair in ends for each in pair]
    return functional.pad(x, sizes, value=value) if any(sizes) else x


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.array(x, np.float32))  # a copy: arrays of the graph stay its own


def _array(y: Tensor, like: Array) -> Array:
    return y.detach().numpy().astype(like.dtype, copy=False)
