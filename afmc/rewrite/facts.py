"""What rewrites look up in a graph, and the weights that they change.

The graph of a model stays what it is under every rewrite, but for parameters that share memory
before: an operation's parameter goes by the name below the operation's own module.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from afmc.frontends.graph.dataflow import Dataflow, dataflow, module_of, operation, shape_of
from afmc.frontends.graph.export import parameter_names
from afmc.frontends.graph.matrices import find_matrices, find_products
from afmc.program.model import Stored, is_bank

KEEP = {
    "aten._to_copy", "aten._unsafe_view", "aten.alias", "aten.clone", "aten.contiguous",
    "aten.detach", "aten.dropout", "aten.expand", "aten.flatten", "aten.permute", "aten.reshape",
    "aten.select", "aten.slice", "aten.squeeze", "aten.to", "aten.transpose", "aten.type_as",
    "aten.unflatten", "aten.unsqueeze", "aten.view",
}  # fmt: skip
"""Operations that only hand on or rearrange their first operand. `keeps` says whether vectors along
the last dimension stay whole."""

NORMS = {"aten.layer_norm", "aten.rms_norm"}


@dataclass(frozen=True, eq=False)
class Layer:
    """One product of the graph, with names of parameters."""

    node: Node
    activation: Node
    weight: str
    stored: Stored
    bias: str | None
    """A vector that the product itself adds."""
    is_bank: bool


class Facts:
    """A graph's products, embeddings, and what reads a value."""

    def __init__(self, exported: ExportedProgram) -> None:
        self.flow: Dataflow = dataflow(exported)
        self.place = {node: place for place, node in enumerate(self.flow.order)}
        self.parameters = parameter_names(exported)
        self.tensors: Mapping[str, Tensor] = self.flow.tensors
        self._ties = self._tied()
        matrices = {matrix.name: matrix for matrix in find_matrices(exported).matrices}
        self.layers: dict[Node, Layer] = {}
        for found in find_products(exported):
            matrix = matrices[found.matrix]
            self.layers[found.node] = Layer(
                found.node,
                found.activation,
                self.name_at(matrix.name, found.node),
                matrix.stored,
                None if found.bias is None else self.parameter(found.bias, found.node),
                is_bank(matrix),
            )

    def _tied(self) -> dict[str, tuple[str, ...]]:
        """By name of a parameter, all names that share its memory."""
        groups: dict[Hashable, list[str]] = {}
        for name in self.parameters.values():
            tensor = self.tensors[name]
            place = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
            groups.setdefault((tensor.untyped_storage()._cdata, place), []).append(name)
        return {name: tuple(names) for names in groups.values() for name in names}

    @cached_property
    def tied(self) -> tuple[tuple[str, ...], ...]:
        """Names of parameters that share memory."""
        return tuple(dict.fromkeys(names for names in self._ties.values() if len(names) > 1))

    def name_at(self, name: str, reader: Node) -> str:
        """The name of a parameter that an operation reads, below its own module if there is one."""
        path = module_of(reader)[0]
        names = self._ties[name]
        return next((n for n in names if n.rpartition(".")[0] == path), names[0])

    def parameter(self, operand: object, reader: Node) -> str | None:
        """Name of the parameter that an operand is, unchanged."""
        name = self.flow.constant(operand)
        return self.name_at(name, reader) if name in self._ties else None

    def vector(self, operand: object, reader: Node) -> tuple[str, float] | None:
        """A parameter with one dimension and what is added to it, 1 where a norm keeps 1 + g."""
        offset = 0.0
        while isinstance(operand, Node) and operand not in self.flow.activations:
            name = self.parameter(operand, reader)
            if name is not None:
                return (name, offset) if self.tensors[name].ndim == 1 else None
            others = [each for each in operand.args if isinstance(each, Node)]
            if operation(operand) == "aten.add" and len(others) == 1:
                added = next(each for each in operand.args if not isinstance(each, Node))
                if not isinstance(added, int | float):
                    return None
                offset += added
            elif operation(operand) not in KEEP:
                return None
            operand = others[0] if others else None
        return None

    @cached_property
    def embeddings(self) -> dict[Node, str]:
        """Rows of a parameter that the model's input chooses, and the parameter's name."""
        found = {}
        for node in self.flow.order:
            if operation(node) == "aten.embedding":
                name = self.parameter(node.args[0], node)
                if name is not None:
                    found[node] = name
        return found

    def uses(self, weight: str) -> list[Layer]:
        """Every product with a parameter."""
        return [layer for layer in self.layers.values() if layer.weight == weight]


def width(node: object) -> int | None:
    """Size of the last dimension, where it is fixed; 1 for a number."""
    if not isinstance(node, Node):
        return 1
    shape = shape_of(node)
    if shape is None:
        return None
    if not shape:
        return 1
    return int(shape[-1]) if shape[-1].isdigit() else None


def has_values(node: Node) -> bool:
    """Whether a node is a tensor, and no size or check."""
    return shape_of(node) is not None and not operation(node).startswith("aten._assert")


def keeps(node: Node) -> bool:
    """Whether a node hands on its first operand's vectors along the last dimension, each whole."""
    name, operand = operation(node), node.args[0] if node.args else None
    if not isinstance(operand, Node):
        return False
    before, after = shape_of(operand), shape_of(node)
    if not before or not after or before[-1] != after[-1]:
        return False
    if name == "aten.index":
        indices = node.args[1]
        return isinstance(indices, list | tuple) and len(indices) < len(before)
    if name == "aten.permute":
        order = node.args[1]
        return isinstance(order, list | tuple) and order[-1] in (len(before) - 1, -1)
    if name == "aten.transpose":
        last = (len(before) - 1, -1)
        return node.args[1] not in last and node.args[2] not in last
    if name == "aten.dropout":
        return node.args[2] is False
    if name == "aten.slice":
        axis = node.args[1] if len(node.args) > 1 else 0
        return axis not in (len(before) - 1, -1) or before == after
    return name in KEEP


class Weights:
    """The parameters of a module that rewrites change, with the way back."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._before: dict[str, Tensor | None] = {}
        self._undo: list[Callable[[], None]] = []

    def __getitem__(self, name: str) -> Tensor:
        """A parameter in double precision."""
        return self.module.get_parameter(name).detach().double()

    def put(self, name: str, value: Tensor) -> None:
        """Gives a parameter new values."""
        parameter = self.module.get_parameter(name)
        self._before.setdefault(name, parameter.detach().clone())
        with torch.no_grad():
            parameter.copy_(value)

    def matrix(self, layer: Layer) -> Tensor:
        """A layer's weight as [..., rows, cols], in double precision."""
        value = self[layer.weight]
        return value.mT if layer.stored == "cols_rows" else value

    def put_matrix(self, layer: Layer, value: Tensor) -> None:
        """Gives a layer a weight [..., rows, cols]."""
        self.put(layer.weight, value.mT if layer.stored == "cols_rows" else value)

    def same(self, first: str, second: str) -> bool:
        """Whether two names are one parameter."""
        return self.module.get_parameter(first) is self.module.get_parameter(second)

    def on_undo(self, back: Callable[[], None], changed: str | None = None) -> None:
        """How to take back a change that is more than a parameter's values."""
        self._undo.append(back)
        if changed is not None:
            self._before.setdefault(changed, None)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of what was changed since the last `keep`, in order."""
        return tuple(self._before)

    def keep(self) -> None:
        """Makes what was changed final."""
        self._before.clear()
        self._undo.clear()

    def undo(self) -> None:
        """Takes back what was changed since the last `keep`."""
        with torch.no_grad():
            for name, value in self._before.items():
                if value is not None:
                    self.module.get_parameter(name).copy_(value)
        for back in reversed(self._undo):
            back()
        self.keep()


@dataclass(frozen=True)
class Outcome:
    """What a rewrite did."""

    done: int
    """How many places it changed: norms, attentions, one residual stream."""
    of: int
    """How many there are."""
    left: str = ""
    """Why it changed nothing, or not all places: one sentence, or nothing."""
    rotated: tuple[str, ...] = ()
    """Weights of matrices whose inputs it rotated, which need no rotation online."""
