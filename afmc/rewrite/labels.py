"""Where the columns of a matrix go: their numbers, sent through the graph in place of values."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_map

from afmc.frontends.graph.dataflow import operation
from afmc.rewrite.facts import Facts, has_values

_SAME = {
    "aten._to_copy", "aten.alias", "aten.clone", "aten.contiguous", "aten.detach", "aten.dropout",
    "aten.to", "aten.type_as",
}  # fmt: skip
_MOVES = {
    "aten._unsafe_view", "aten.chunk", "aten.expand", "aten.flatten", "aten.index", "aten.permute",
    "aten.repeat", "aten.repeat_interleave", "aten.reshape", "aten.select", "aten.slice",
    "aten.split", "aten.split_with_sizes", "aten.squeeze", "aten.transpose", "aten.unflatten",
    "aten.unsqueeze", "aten.view", "operator.getitem",
}  # fmt: skip
_SHAPES_ONLY = {
    "aten.empty_like", "aten.full_like", "aten.new_empty", "aten.new_full", "aten.new_ones",
    "aten.new_zeros", "aten.ones_like", "aten.zeros_like",
}  # fmt: skip


@dataclass(eq=False)
class Sink:
    """An operation that computes with labelled values."""

    node: Node
    operand: Node
    labels: Tensor


@dataclass(eq=False)
class Walk:
    """Everything that labels of one value reach over operations that only move values."""

    sinks: list[Sink] = field(default_factory=list)
    biases: list[str] = field(default_factory=list)
    """Vectors that are added while all labels are in their first order."""
    problem: str = ""


Through = Callable[[Node, Node, Tensor, bool], Tensor | None]
"""Operation, operand, its labels, whether no other operand has any -> labels of the result, where
the walk goes on through the operation."""


def walk(facts: Facts, start: Node, labels: Tensor, through: Through | None = None) -> Walk:
    """Follows labels, a tensor in the shape of `start`'s value, to what computes with them."""
    found = Walk()
    at: dict[Node, Any] = {start: labels}
    ahead: list[int] = []
    seen: set[int] = set()
    _push(start, ahead, seen, facts)
    while ahead:
        node = facts.flow.order[heapq.heappop(ahead)]
        operands = [each for each in node.all_input_nodes if each in at]
        if operation(node) in _SHAPES_ONLY or not (has_values(node) or operation(node) in _MOVES):
            continue
        alone = len(operands) == 1
        for operand in operands:
            labels = at[operand]
            result = _moved(node, operand, at, facts) if alone else None
            if result is None and isinstance(labels, Tensor):
                bias = _bias(node, operand, labels, facts) if alone else None
                if bias is not None:
                    found.biases.append(bias)
                    result = labels
                elif through is not None:
                    result = through(node, operand, labels, alone)
            if result is not None:
                at[node] = result
                _push(node, ahead, seen, facts)
            elif not isinstance(labels, Tensor):
                found.problem = f"{operation(node).rpartition('.')[2]} moves its values"
            elif labels.numel():
                found.sinks.append(Sink(node, operand, labels))
    if any(user.op == "output" for node in at for user in node.users):
        found.problem = "it is an output of the model"
    return found


def _push(node: Node, ahead: list[int], seen: set[int], facts: Facts) -> None:
    """Puts what reads a node among the operations ahead, by their places in the graph."""
    places = {facts.place[user] for user in node.users if user in facts.place} - seen
    seen |= places
    for place in places:
        heapq.heappush(ahead, place)


def _moved(node: Node, operand: Node, at: dict[Node, Any], facts: Facts) -> Any:
    """Labels behind an operation that only moves values; None for others."""
    name = operation(node)
    if not node.args or node.args[0] is not operand:
        return None
    if name in _SAME:
        return at[operand]
    if name not in _MOVES:
        return None
    missing = False

    def value(argument: object) -> object:
        nonlocal missing
        if not isinstance(argument, Node):
            return argument
        known = at.get(argument)
        if known is None:
            known = _constant(argument, facts)
        missing |= known is None
        return known.contiguous() if isinstance(known, Tensor) else known  # for every view

    args = tree_map(value, tuple(node.args), is_leaf=lambda each: isinstance(each, Node))
    if missing:
        return None
    target: Any = node.target
    return target(*args, **node.kwargs)


def _constant(node: Node, facts: Facts) -> Any:
    """A size, or a tensor that the graph holds."""
    value = node.meta.get("val")
    if isinstance(value, torch.SymInt):
        return value.node.hint
    if isinstance(value, int):
        return value
    while operation(node) == "aten.lift_fresh_copy":
        node = node.args[0]  # type: ignore[assignment]
    return next((facts.tensors[n] for n in _names(node, facts) if n in facts.tensors), None)


def _names(node: Node, facts: Facts) -> list[str]:
    name = facts.flow.constant(node)
    return [] if name is None else [name]


def _bias(node: Node, operand: Node, labels: Tensor, facts: Facts) -> str | None:
    """A parameter that is added to labels which still are 0, 1, 2 ... along the last dimension."""
    if operation(node) not in ("aten.add", "aten.add_"):
        return None
    other = next((each for each in node.args[:2] if each is not operand), None)
    name = facts.parameter(other, node)
    if name is None or tuple(facts.tensors[name].shape) != tuple(labels.shape[-1:]):
        return None
    in_order = bool((labels == torch.arange(labels.shape[-1])).all())
    return name if in_order else None


def shape_with_hints(node: Node) -> list[int] | None:
    """The example's sizes of a value; None where one depends on values."""
    sizes = [
        size.node.hint if isinstance(size, torch.SymInt) else int(size)
        for size in node.meta["val"].shape
    ]
    return None if None in sizes else sizes
