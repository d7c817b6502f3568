"""The constant matrices of an exported program, and an account of everything else in it.

Every parameter is counted once: the weights of the matrices, their attached biases and the
remainder's weights add up to the model's parameters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

from afmc.frontends.graph import reasons
from afmc.frontends.graph.dataflow import (
    Dataflow,
    chosen,
    dataflow,
    full_name,
    module_of,
    operation,
    shape_of,
    transposed,
)
from afmc.frontends.graph.upstream import find_sources
from afmc.frontends.graph.windows import Windows, same_padding
from afmc.frontends.graph.work import samples_of, total, work_of
from afmc.program.model import GROUPED, Matrix, Remainder, Stored, Unit, Work

_CONVOLUTIONS = {"aten.conv1d", "aten.conv2d", "aten.convolution"}


class Structure(NamedTuple):
    """What a model is made of."""

    matrices: tuple[Matrix, ...]
    """In dataflow order."""
    remainder: tuple[Remainder, ...]
    """By operator and reason, sorted by both."""
    work: tuple[Work, ...]


def find_matrices(exported: ExportedProgram, unit: Unit = "token") -> Structure:
    """The matrices of a graph, and everything else in it.

    A matrix is a 2-D parameter that a linear operation multiplies an activation by: linear, addmm,
    mm or matmul, also through a transposition. A 3-D parameter is a bank of matrices, one for each
    expert, that a grouped product, bmm or matmul multiplies by as a whole or one after the other.
    Parameters that share memory are one. Of a graph from tokens convolutions stay digital; of any
    other, where uses are those of an inference, they are matrices of the windows that they see.
    """
    return account(exported, unit).structure()


Row = tuple[str, str]
"""What operations that no matrix covers are counted under: operator and reason."""


@dataclass(frozen=True)
class Account:
    """What a graph holds, each operation with its place in the order of execution."""

    modules: tuple[str, ...]
    """By place, the path of the operation's module, perhaps empty."""
    matrices: tuple[tuple[Matrix, tuple[int, ...]], ...]
    """In dataflow order, with the places of all uses."""
    inputs: Mapping[str, int]
    """Place of each activation that a matrix reads."""
    operations: tuple[tuple[Row, int | None], ...]
    """What no matrix covers; no place for operations in a branch of control flow."""
    weights: tuple[tuple[str, int, Row], ...]
    """Parameters that no matrix holds or adds, how many weights each has, and the row of the first
    operation that reads them."""
    work: tuple[tuple[Work, int], ...]
    """Work of every operation that no matrix covers, with its place."""

    def structure(self) -> Structure:
        matrices = tuple(matrix for matrix, _ in self.matrices)
        return Structure(matrices, self.remainder(), total(work for work, _ in self.work))

    def remainder(self) -> tuple[Remainder, ...]:
        weights: Counter[Row] = Counter()
        for _, held, row in self.weights:
            weights[row] += held
        return remainder_of(Counter(row for row, _ in self.operations), weights)


def remainder_of(counts: Counter[Row], weights: Counter[Row]) -> tuple[Remainder, ...]:
    """By operator and reason, sorted by both."""
    return tuple(
        Remainder(
            operator,
            counts[operator, why],
            str(why),
            weights[operator, why],
            lowered=not isinstance(why, reasons.NotLowered),
        )
        for operator, why in sorted(counts.keys() | weights.keys())
    )


def account(exported: ExportedProgram, unit: Unit = "token") -> Account:
    return _Analysis(exported, unit).account()


@dataclass(frozen=True)
class Product:
    """One operation of the graph that a matrix covers."""

    node: Node
    activation: Node
    """Its operand, as the operation reads it: [..., rows]."""
    bias: Node | None
    """Its bias operand, [cols], to be added digitally."""
    ends: Node | None
    """For a grouped product: [copies], how many rows of the activation the experts up to each one
    multiply, rows being sorted by expert."""
    windows: Windows | None
    """Windows of a convolution."""
    matrix: str
    """Name of the ir.Matrix."""


def find_products(exported: ExportedProgram, unit: Unit = "token") -> tuple[Product, ...]:
    """Every operation that `find_matrices` found a matrix in, as executed.

    A matrix that is used several times is named by several of them.
    """
    found = _Analysis(exported, unit)
    return tuple(
        Product(
            node,
            product.activation,
            product.bias_node,
            product.ends,
            product.windows,
            found.name_of(one),
        )
        for one in found.found.values()
        for node, product in one.uses.items()
    )


@dataclass(frozen=True)
class _Product:
    """``activation @ weight + bias``, by names of parameters."""

    activation: Node
    weight: str
    stored: Stored
    bias: str | None = None
    bias_node: Node | None = None
    ends: Node | None = None
    windows: Windows | None = None
    per_token: float = 1.0

    def same_layout(self, other: _Product, ties: dict[str, _Tie]) -> bool:
        same_bias = (self.bias and ties[self.bias].key) == (other.bias and ties[other.bias].key)
        return self.stored == other.stored and same_bias


@dataclass(frozen=True)
class _Found:
    """A weight and every operation that uses it in the same way, the first one first."""

    uses: dict[Node, _Product] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tie:
    """Parameters that are views of the same memory in the same shape."""

    key: Hashable
    names: tuple[str, ...]

    def name_in(self, module: str) -> str:
        """The name below `module`, where one of them is, else the first."""
        below = (n for n in self.names if n.rpartition(".")[0] == module)
        return next(below, self.names[0])


def _ties(flow: Dataflow) -> dict[str, _Tie]:
    keys = {name: _memory(flow.tensors[name]) for name in flow.tensors if name in flow.parameters}
    names: dict[Hashable, list[str]] = {}
    for name, key in keys.items():
        names.setdefault(key, []).append(name)
    return {name: _Tie(key, tuple(names[key])) for name, key in keys.items()}


def _memory(tensor: torch.Tensor) -> Hashable:
    # The storage's own identity: data pointers are all 0 on the meta device.
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _product(node: Node, flow: Dataflow) -> _Product | str | None:
    """A product with a matrix; or why one that looks alike is none; or None for other nodes."""
    name, args = operation(node), node.args
    bias = ends = None
    if name == "aten.linear":
        left, right, bias = args[0], args[1], args[2] if len(args) > 2 else None
        upright: Stored = "cols_rows"
    elif name == "aten.addmm":
        bias, left, right = args[:3]
        upright = "rows_cols"
    elif name in ("aten.mm", "aten.matmul", "aten.bmm"):
        left, right = args[:2]
        upright = "rows_cols"
    elif full_name(node) in GROUPED:
        left, right, ends = args[:3]
        upright = "rows_cols"
    else:
        return None
    if not isinstance(left, Node) or not isinstance(right, Node):
        return None
    weight, stored = _weight(right, upright, flow)
    if weight is None:
        on_left, _ = _weight(left, upright, flow)
        return reasons.WEIGHT_ON_THE_LEFT if on_left and right in flow.activations else None
    if left not in flow.activations:
        return None
    if any(value != 1 for value in node.kwargs.values()):
        return reasons.SCALED
    if flow.tensors[weight].ndim == 3:
        grouped = ends if isinstance(ends, Node) else None
        added = _bias_of_bank(node, weight, flow)
        return _Product(left, weight, stored, added, None, grouped)
    return _with_bias(_Product(left, weight, stored), bias, flow)


def _with_bias(product: _Product, bias: object, flow: Dataflow) -> _Product | str:
    if bias is None:
        return product
    vector = flow.constant(bias)
    if vector in flow.parameters and flow.tensors[vector].ndim == 1 and isinstance(bias, Node):
        return replace(product, bias=vector, bias_node=bias)
    return reasons.OTHER_BIAS


def _convolution(node: Node, flow: Dataflow) -> _Product | str | None:
    """A product of the windows that a convolution sees; or why it is none."""
    if operation(node) not in _CONVOLUTIONS or not isinstance(node.target, OpOverload):
        return None
    said = {
        each.name: node.args[place] if place < len(node.args) else node.kwargs.get(
            each.name, each.default_value
        )
        for place, each in enumerate(node.target._schema.arguments)
    }  # fmt: skip
    activation, weight = said["input"], flow.constant(said["weight"])
    if weight not in flow.parameters or activation not in flow.activations:
        return None
    assert isinstance(activation, Node)
    kernel = tuple(flow.tensors[weight].shape[2:])
    if said["groups"] != 1:
        return reasons.IN_GROUPS
    if len(kernel) not in (1, 2) or said.get("transposed"):
        return reasons.CONVOLUTION
    if len(shape_of(activation) or ()) != len(kernel) + 2:
        return reasons.NO_BATCH
    stride, dilation = (_sizes(said[key], kernel) for key in ("stride", "dilation"))
    padding = said["padding"]
    if isinstance(padding, str):
        nothing = (0,) * len(kernel)
        ends = (nothing, nothing) if padding == "valid" else same_padding(kernel, dilation)
    else:
        ends = (_sizes(padding, kernel),) * 2
    windows = Windows(kernel, stride, dilation, *ends)
    product = _Product(activation, weight, "cols_rows", windows=windows)
    return _with_bias(product, said["bias"], flow)


def _sizes(value: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """A number for each dimension of the kernel; one number is meant for all."""
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * len(kernel) if len(sizes) == 1 else sizes


def _weight(node: Node, upright: Stored, flow: Dataflow) -> tuple[str | None, Stored]:
    """Name of the parameter that this operand is, and the order in which its matrices are stored.

    2-D, or 3-D for a bank: then the operand is all of it, or what is taken of it by expert.
    """
    stored, part = upright, False
    while (name := flow.constant(node)) is None:
        node = flow.origin(node)
        if (operand := transposed(node)) is not None:
            stored = "rows_cols" if stored == "cols_rows" else "cols_rows"
        elif (operand := chosen(node)) is not None:
            part = True
        else:
            return None, stored
        node = operand
    dims = flow.tensors[name].ndim
    stack = dims == 3 and len(shape_of(node) or ()) == 3  # not a view that lost the experts
    if name not in flow.parameters or not (stack or (dims == 2 and not part)):
        return None, stored
    return name, stored


def _bias_of_bank(node: Node, weight: str, flow: Dataflow) -> str | None:
    """The parameter [copies, ...] that is added to a bank's product, each row its expert's."""
    for user in node.users:
        if operation(user) in ("aten.add", "aten.add_") and isinstance(user.args[1], Node):
            name = flow.constant(chosen(flow.origin(user.args[1])))
            if name in flow.parameters and flow.tensors[name].ndim == 2:
                same = len(flow.tensors[name]) == len(flow.tensors[weight])
                return name if same else None
    return None


def _per_token(node: Node, flow: Dataflow) -> float:
    """Vectors that come out of a bank's product for each token of the example.

    Products with tokens that are chosen at run time count as if all were.
    """
    tokens = [n.meta["val"] for n in flow.order if n.op == "placeholder" and n in flow.activations]
    vectors = _hint(node.meta["val"].shape[:-1])
    return 1.0 if vectors is None else vectors / (_hint(tokens[0].shape) or 1)


def _per_inference(node: Node, product: _Product, flow: Dataflow) -> float:
    """Vectors that come out of a product for each sample of the example."""
    shape = list(node.meta["val"].shape)
    del shape[-1 if product.windows is None else 1]
    vectors = _hint(shape)
    return 1.0 if vectors is None else vectors / samples_of(flow)


def _hint(shape: Iterable[int | torch.SymInt]) -> int | None:
    """Numbers in a tensor of the example's shape; None where that depends on values."""
    sizes = [size.node.hint if isinstance(size, torch.SymInt) else size for size in shape]
    return None if None in sizes else math.prod(sizes)


class _Analysis:
    """Every operation either in a matrix or digital for a reason."""

    def __init__(self, exported: ExportedProgram, unit: Unit) -> None:
        self.unit = unit
        self.flow = dataflow(exported)
        self.ties = _ties(self.flow)
        self.found: dict[Hashable, _Found] = {}
        self.digital: dict[Node, str] = {}
        for node in self.flow.order:
            if node.op == "call_function":
                self._sort(node)
        self.choosing = self._choosing()

    def _sort(self, node: Node) -> None:
        product = _product(node, self.flow)
        if product is None and self.unit == "inference":
            product = _convolution(node, self.flow)
        if not isinstance(product, _Product):
            self.digital[node] = product or reasons.reason(node, self.flow)
            return
        if self.unit == "inference":
            product = replace(product, per_token=_per_inference(node, product, self.flow))
        elif self.flow.tensors[product.weight].ndim == 3:
            product = replace(product, per_token=_per_token(node, self.flow))
        one = self.found.setdefault(self.ties[product.weight].key, _Found())
        if all(product.same_layout(other, self.ties) for other in one.uses.values()):
            one.uses[node] = product
        else:
            self.digital[node] = reasons.SHARED

    def _choosing(self) -> set[Node]:
        """The products that a top-k selection reads without another product between."""
        seen = {node for node in self.flow.order if operation(node) == "aten.topk"}
        found: list[Node] = []
        stack = list(seen)
        while stack:
            for operand in set(self.flow.edges.predecessors(stack.pop())) - seen:
                seen.add(operand)
                (found if operation(operand) in reasons.PRODUCTS else stack).append(operand)
        return set(found)

    def name_of(self, one: _Found) -> str:
        node, product = next(iter(one.uses.items()))
        return self.ties[product.weight].name_in(module_of(node)[0])

    def account(self) -> Account:
        place = {node: index for index, node in enumerate(self.flow.order)}
        operations = [((full_name(n), why), place[n]) for n, why in self.digital.items()]
        inner = [((full_name(i.node), reasons.in_region(i.region)), None) for i in self.flow.inner]
        read = {
            self.flow.origin(product.activation)
            for one in self.found.values()
            for product in one.uses.values()
        }
        return Account(
            modules=tuple(module_of(node)[0] for node in self.flow.order),
            matrices=tuple(
                (matrix, tuple(place[node] for node in one.uses))
                for matrix, one in zip(self._matrices(), self.found.values(), strict=True)
            ),
            inputs={self.flow.labels[node]: place[node] for node in read},
            operations=(*operations, *inner),
            weights=tuple(self._weights()),
            work=tuple(work_of(self.flow, self.digital, self._covered(), self.unit)),
        )

    def _covered(self) -> dict[Node, str]:
        """Operations that a matrix covers, and which."""
        return {node: self.name_of(one) for one in self.found.values() for node in one.uses}

    def _matrices(self) -> list[Matrix]:
        found = [self._matrix(one) for one in self.found.values()]
        products = {
            node: (matrix.name, product.activation)
            for matrix, one in zip(found, self.found.values(), strict=True)
            for node, product in one.uses.items()
        }
        sources = find_sources(self.flow, products)
        return [replace(matrix, sources=sources[matrix.name]) for matrix in found]

    def _matrix(self, one: _Found) -> Matrix:
        node, product = next(iter(one.uses.items()))
        module, layer = module_of(node)
        name = self.name_of(one)
        shape = self.flow.tensors[product.weight].shape
        if product.windows is not None:
            shape = torch.Size((shape[0], math.prod(shape[1:])))
        *copies, first, second = shape
        rows, cols = (second, first) if product.stored == "cols_rows" else (first, second)
        inputs = [self._input_of(p) for p in one.uses.values()]
        tied = (other for other in self.ties[product.weight].names if other != name)
        return Matrix(
            name=name,
            rows=rows,
            cols=cols,
            input=",".join(dict.fromkeys(inputs)) if copies else ",".join(inputs),
            copies=math.prod(copies),
            per_token=sum(p.per_token for p in one.uses.values()),
            module=module,
            layer=layer,
            operation=full_name(node),
            stored=product.stored,
            bias=self.ties[product.bias].name_in(module) if product.bias else None,
            tied_to=next(tied, None),
            chooses=any(use in self.choosing for use in one.uses),
        )

    def _input_of(self, product: _Product) -> str:
        label = self.flow.labels[self.flow.origin(product.activation)]
        return label if product.windows is None else f"{label}:{product.windows}"

    def _weights(self) -> Iterator[tuple[str, int, Row]]:
        """Weights that no matrix holds or adds, under the first operation that reads them.

        An operation that only rearranges or checks a parameter is passed over where another one
        computes with it.
        """
        readers: dict[Hashable, Node] = {}
        movers: dict[Hashable, Node] = {}
        for node in self.digital:
            checks = operation(node).startswith("aten._assert")
            first = movers if checks or self.flow.carried(node) is not None else readers
            for operand in node.all_input_nodes:
                name = self.flow.carried(operand)
                if name in self.flow.parameters:
                    first.setdefault(self.ties[name].key, node)
        attached = self._attached()
        for tie in {tie.key: tie for tie in self.ties.values()}.values():
            if tie.key not in attached:
                reader = readers.get(tie.key) or movers.get(tie.key)
                row = ("none", reasons.UNREAD)
                if reader is not None:
                    row = full_name(reader), self.digital[reader]
                yield tie.names[0], self.flow.tensors[tie.names[0]].numel(), row

    def _attached(self) -> set[Hashable]:
        """Memory of the matrices and of their biases."""
        uses = [product for one in self.found.values() for product in one.uses.values()]
        return {self.ties[p.weight].key for p in uses} | {
            self.ties[p.bias].key for p in uses if p.bias
        }
