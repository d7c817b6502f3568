"""An ONNX graph as a torch module: products are layers, the rest is run by onnx's reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from afmc.errors import ModelError
from afmc.frontends.onnx.operators import DOMAIN, OPERATORS, bind_layers, replaced
from afmc.frontends.onnx.products import Constants, Product, read_in_branches

Array = NDArray[Any]


class OnnxModule(nn.Module):
    """Tensors in the order of the graph's inputs to the graph's first output.

    Each matrix is an ``nn.Linear`` at a path that follows from its constant's name: ``fc1.weight``
    is ``fc1``. A layer that is put in the place of one is what the graph multiplies by from then
    on.
    """

    def __init__(
        self, model: ModelProto, products: Sequence[Product], constants: Constants, name: str
    ) -> None:
        super().__init__()
        self.paths: dict[str, str] = {}
        """Path of the layer, by name of the constant."""
        for product in products:
            if product.weight not in self.paths:
                self.paths[product.weight] = self._add(product, constants)
        self._rest = _Rest(model, products, name)

    def _add(self, product: Product, constants: Constants) -> str:
        weight = torch.from_numpy(np.array(constants.array(product.weight), np.float32))
        weight = weight.T if product.stored == "rows_cols" else weight.flatten(1)
        cols, rows = weight.shape
        layer = nn.Linear(rows, cols, bias=product.bias is not None, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        if product.bias is not None:
            bias = np.array(constants.array(product.bias), np.float32).reshape(-1)
            layer.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)
        return _place(self, product.weight.removesuffix(".weight"), layer)

    def forward(self, *inputs: Tensor) -> Tensor:
        values, output = self.values(*inputs), self._rest.outputs[0]
        if output not in values:
            raise ModelError(f"{self._rest.name}: its output {output!r} is no tensor.")
        return torch.as_tensor(values[output])

    def values(self, *inputs: Tensor) -> dict[str, Array]:
        """Every value of the graph by name."""
        layers = {name: self.get_submodule(path) for name, path in self.paths.items()}
        with bind_layers(layers), torch.no_grad():
            return self._rest(inputs)


class _Rest:
    """What is not on tiles: shared by all copies of a module."""

    def __init__(self, model: ModelProto, products: Sequence[Product], name: str) -> None:
        self.name = name
        by_output = {product.output: product for product in products}
        rest = ModelProto()
        rest.CopyFrom(model)
        nodes = [replaced(node, by_output.get(node.output[0])) for node in model.graph.node]
        del rest.graph.node[:]
        rest.graph.node.extend(nodes)
        read = {name for node in nodes for name in node.input}
        read |= {*read_in_branches(model.graph), *(each.name for each in model.graph.output)}
        kept = [each for each in model.graph.initializer if each.name in read]
        del rest.graph.initializer[:]
        rest.graph.initializer.extend(kept)
        rest.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        held = {each.name for each in model.graph.initializer}
        self.inputs = [each.name for each in model.graph.input if each.name not in held]
        self.outputs = [each.name for each in model.graph.output]
        try:
            self._evaluator = ReferenceEvaluator(rest, new_ops=list(OPERATORS))
        except Exception as error:  # the reference raises nearly every type
            raise ModelError(
                f"{name} cannot be run by onnx's reference ({_cause(error)})."
            ) from error

    def __deepcopy__(self, memo: Mapping[int, Any]) -> _Rest:
        return self

    def __call__(self, inputs: Sequence[Tensor]) -> dict[str, Array]:
        feeds = dict(zip(self.inputs, (each.numpy() for each in inputs), strict=True))
        try:
            with np.errstate(all="ignore"):
                found: Any = self._evaluator.run(None, feeds, intermediate=True)
        except MemoryError:
            raise
        except Exception as error:  # the reference raises nearly every type
            raise ModelError(
                f"{self.name} cannot be run by onnx's reference ({_cause(error)})."
            ) from error
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def _place(root: nn.Module, path: str, layer: nn.Module) -> str:
    """Adds a layer at a path like the one wanted, and says at which."""
    *parents, last = path.split(".") if all(path.split(".")) else [path.replace(".", "_") or "_"]
    parent, taken = root, []
    for part in parents:
        free = _free(parent, part, folder=True)
        if free not in parent._modules:
            parent.add_module(free, nn.Module())
        parent = parent.get_submodule(free)
        taken.append(free)
    free = _free(parent, last, folder=False)
    parent.add_module(free, layer)
    return ".".join((*taken, free))


def _free(parent: nn.Module, name: str, *, folder: bool) -> str:
    """A name that is no attribute of the parent yet, or is that of a folder, if one is wanted."""
    while hasattr(parent, name) and not (folder and type(parent._modules.get(name)) is nn.Module):
        name += "_"
    return name


def _cause(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:200]
