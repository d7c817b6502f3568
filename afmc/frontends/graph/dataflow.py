"""An exported program as one graph: what flows where, and which nodes carry the same values.

Regions that only switch something (`wrap_with_set_grad_enabled` and its like) are seen through:
their nodes and edges are part of the graph. Control flow (`cond`, `while_loop`) is not: its inner
nodes are listed, and the operation as a whole reads its operands.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import networkx as nx
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from afmc.frontends.graph.export import constant_names, parameter_names

_SEEN_THROUGH = {"wrap_with_set_grad_enabled", "wrap_with_autocast", "tag_activation_checkpoint"}

# Operations that hand on their first operand's values, in the same order. Whether one of them
# really does is seen from dtype and last dimension, see _forwards.
_SAME_VALUES = {
    "aten._to_copy", "aten._unsafe_view", "aten.alias", "aten.clone", "aten.contiguous",
    "aten.detach", "aten.detach_", "aten.dropout", "aten.flatten", "aten.lift_fresh_copy",
    "aten.reshape", "aten.slice", "aten.squeeze", "aten.to", "aten.type_as", "aten.unflatten",
    "aten.unsqueeze", "aten.view",
}  # fmt: skip

_TRANSPOSES = {"aten.t", "aten.transpose", "aten.permute", "aten.numpy_T", "aten.mT"}

# Operations that only rearrange what they are given, perhaps on its way to one that computes.
REARRANGES = _SAME_VALUES | _TRANSPOSES | {"aten.expand", "aten.select", "aten.split", "aten.chunk"}


@dataclass(frozen=True)
class Inner:
    """A node of a control-flow branch: listed, not analysed."""

    node: Node
    region: str


@dataclass(frozen=True, eq=False)
class Dataflow:
    edges: nx.DiGraph
    """Over FX nodes, from operand to reader."""
    order: tuple[Node, ...]
    """Every node that was analysed, as executed; a region's nodes stand before the region."""
    regions: frozenset[Node]
    """Higher-order operators that were seen through."""
    inner: tuple[Inner, ...]
    source: Mapping[Node, Node]
    """Node -> the first node with the same values in vectors of the same length."""
    constants: Mapping[Node, str]
    """Source node -> name of the parameter or buffer in the model."""
    parameters: frozenset[str]
    activations: frozenset[Node]
    """Nodes that depend on the model's input."""
    labels: Mapping[Node, str]
    """``module.path:operator``, with ``_1`` for the second of a module: unique, and independent of
    what the graph holds besides that module. A node of no module goes by its own name."""
    tensors: Mapping[str, torch.Tensor]
    """Parameters and buffers by name."""

    def constant(self, node: object) -> str | None:
        """Name of the parameter or buffer that this operand is, if it is one unchanged."""
        return self.constants.get(self.origin(node)) if isinstance(node, Node) else None

    def origin(self, node: Node) -> Node:
        """The node that this one's values come from unchanged, perhaps itself."""
        return self.source.get(node, node)

    def carried(self, node: object) -> str | None:
        """Name of the parameter or buffer that this operand is, perhaps rearranged."""
        while isinstance(node, Node):
            if (name := self.constant(node)) is not None:
                return name
            node = node.args[0] if operation(node) in REARRANGES else None
        return None


def dataflow(exported: ExportedProgram) -> Dataflow:
    builder = _Builder()
    builder.add(exported.graph_module, "")
    same = nx.Graph()
    same.add_nodes_from(builder.order)
    same.add_edges_from(builder.same)
    position = {node: index for index, node in enumerate(builder.order)}
    source = {}
    for component in nx.connected_components(same):
        first = min(component, key=position.__getitem__)
        source.update(dict.fromkeys(component, first))
    names = constant_names(exported)
    inputs = [n for n in exported.graph.nodes if n.op == "placeholder" and n.name not in names]
    activations = set(inputs).union(*(nx.descendants(builder.edges, node) for node in inputs))
    return Dataflow(
        edges=builder.edges,
        order=tuple(builder.order),
        regions=frozenset(builder.regions),
        inner=tuple(builder.inner),
        source=source,
        constants={n: names[n.name] for n in exported.graph.nodes if n.name in names},
        parameters=frozenset(parameter_names(exported).values()),
        activations=frozenset(activations),
        labels=builder.labels,
        tensors={**exported.constants, **exported.state_dict},
    )


def operation(node: Node) -> str:
    """``aten.view``: the operator of a call without its overload; empty for other nodes."""
    if node.op != "call_function":
        return ""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target.overloadpacket)
    return full_name(node)


def full_name(node: Node) -> str:
    """``aten.view.default``, ``operator.getitem``, ``higher_order.cond``."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"higher_order.{target}"
    if isinstance(target, str):
        return target
    module = getattr(target, "__module__", None) or "builtin"
    return f"{module.lstrip('_')}.{target.__name__}"


def module_of(node: Node) -> tuple[str, str]:
    """Path and full class name of the innermost module that the node belongs to, perhaps empty."""
    for path, kind in reversed(list((node.meta.get("nn_module_stack") or {}).values())):
        if not str(path).startswith("_empty_nn_module_stack"):
            name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
            # '@1' marks the second call of one module.
            return str(path).split("@")[0], name.split("@")[0]
    return "", ""


def shape_of(node: Node) -> tuple[str, ...] | None:
    """Sizes as text, because comparing symbolic ones would add guards. None if not a tensor."""
    value = node.meta.get("val")
    return tuple(map(str, value.shape)) if isinstance(value, torch.Tensor) else None


def transposed(node: Node) -> Node | None:
    """The operand, a matrix or a stack of them, whose rows and columns this node swaps, or None."""
    shape, operand = shape_of(node), node.args[0] if node.args else None
    if operation(node) not in _TRANSPOSES or shape is None or len(shape) not in (2, 3):
        return None
    axes = list(range(len(shape)))
    dims = [int(str(dim)) % len(shape) for dim in _flat(node.args[1:])]
    if operation(node) == "aten.transpose":
        swaps = sorted(dims) == axes[-2:]
    elif dims:
        swaps = dims == [*axes[:-2], axes[-1], axes[-2]]
    else:
        swaps = len(shape) == 2 or operation(node) == "aten.mT"
    return operand if swaps and isinstance(operand, Node) else None


def chosen(node: Node) -> Node | None:
    """The operand of which this node takes some along the first dimension, or None."""
    first = operation(node) == "aten.select" and node.args[1] == 0
    if operation(node) == "aten.index":
        indices = node.args[1]
        first = isinstance(indices, (tuple, list)) and len(indices) == 1
    operand = node.args[0] if first else None
    return operand if isinstance(operand, Node) else None


def _flat(values: object) -> Iterator[object]:
    if isinstance(values, (tuple, list)):
        for value in values:
            yield from _flat(value)
    else:
        yield values


class _Builder:
    def __init__(self) -> None:
        self.edges = nx.DiGraph()
        self.order: list[Node] = []
        self.regions: list[Node] = []
        self.inner: list[Inner] = []
        self.same: list[tuple[Node, Node]] = []
        self.labels: dict[Node, str] = {}
        self.seen: Counter[str] = Counter()

    def add(self, module: GraphModule, prefix: str) -> None:
        outputs: dict[Node, list[object]] = {}  # seen-through region -> its results
        for node in module.graph.nodes:
            if node.op in ("get_attr", "output"):
                continue
            region = _region(node)
            if region is None:
                self._reads(node, node.all_input_nodes)
            else:
                self.regions.append(node)
                outputs[node] = self._see_through(node, region, prefix)
            self.edges.add_node(node)
            self.order.append(node)
            self.labels[node] = self._label(node, prefix)
            if (operand := _forwards(node)) is not None:
                self.same.append((node, operand))
            elif node.target is operator.getitem and node.args[0] in outputs:
                result = outputs[node.args[0]][int(str(node.args[1]))]
                if isinstance(result, Node):
                    self.same.append((node, result))
            elif node.op == "call_function" and region is None:
                for name, branch in _branches(node):
                    self._list(branch, f"{prefix}{name}")

    def _label(self, node: Node, prefix: str) -> str:
        path, _ = module_of(node)
        if not path:
            return prefix + node.name
        label = f"{path}:{operation(node).rpartition('.')[2]}"
        before = self.seen[label]
        self.seen[label] += 1
        return f"{label}_{before}" if before else label

    def _reads(self, node: Node, operands: Iterable[Node]) -> None:
        self.edges.add_edges_from((o, node) for o in operands if o.op != "get_attr")

    def _see_through(self, node: Node, region: _Region, prefix: str) -> list[object]:
        inside = region.module.graph
        placeholders = [n for n in inside.nodes if n.op == "placeholder"]
        for operand, placeholder in zip(region.operands, placeholders, strict=True):
            self._reads(placeholder, [operand])
            self.same.append((placeholder, operand))
        self.add(region.module, f"{prefix}{region.name}.")
        returned = inside.output_node().args[0]
        if isinstance(returned, Node):
            self.same.append((node, returned))
        results = list(_flat(returned))
        self._reads(node, [result for result in results if isinstance(result, Node)])
        return results

    def _list(self, module: GraphModule, region: str) -> None:
        for node in module.graph.nodes:
            if node.op == "call_function":
                self.inner.append(Inner(node, region))
                for name, branch in _branches(node):
                    self._list(branch, f"{region}.{name}")


@dataclass(frozen=True)
class _Region:
    name: str
    module: GraphModule
    operands: list[Node]


def _branches(node: Node) -> list[tuple[str, GraphModule]]:
    """The subgraphs that a higher-order operator is given, by attribute name."""
    root = node.graph.owning_module
    found = []
    for operand in node.all_input_nodes:
        if operand.op == "get_attr" and root is not None:
            module = getattr(root, str(operand.target), None)
            if isinstance(module, GraphModule):
                found.append((str(operand.target), module))
    return found


def _region(node: Node) -> _Region | None:
    """The one subgraph of an operator that is seen through, and what its placeholders stand for."""
    if operation(node).removeprefix("higher_order.") not in _SEEN_THROUGH:
        return None
    branches = _branches(node)
    operands = [n for n in _flat(node.args) if isinstance(n, Node) and n.op != "get_attr"]
    if len(branches) != 1:
        return None
    name, module = branches[0]
    places = sum(n.op == "placeholder" for n in module.graph.nodes)
    return _Region(name, module, operands) if places == len(operands) else None


def _forwards(node: Node) -> Node | None:
    """The operand whose values this node only hands on, in vectors of the same length."""
    if operation(node) not in _SAME_VALUES or not isinstance(node.args[0], Node):
        return None
    operand = node.args[0]
    before, after = operand.meta.get("val"), node.meta.get("val")
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        return None
    shape_before, shape_after = shape_of(operand), shape_of(node)
    if before.dtype != after.dtype or not shape_before or not shape_after:
        return None
    if shape_before[-1] != shape_after[-1]:
        return None
    if operation(node) == "aten.slice" and shape_before != shape_after:
        return None
    if operation(node) == "aten.dropout" and node.args[2] is not False:
        return None
    return operand
