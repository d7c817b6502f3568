"""Weights of norms, moved into the matrices that read the norms' outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch.fx import Node

from afmc.frontends.graph.dataflow import operation
from afmc.rewrite.facts import NORMS, Facts, Layer, Outcome, Weights, has_values, keeps, width


@dataclass(eq=False)
class Scaling:
    """A vector that multiplies an activation, channel by channel, and what reads the product."""

    weight: str
    offset: float
    """What the graph adds to the parameter: 1 where a norm keeps 1 + g."""
    bias: str | None
    """A vector that is added behind it, by the same operation."""
    readers: list[Layer] = field(default_factory=list)
    problem: str = ""
    """Why it does not move into the readers."""


def fold_norms(facts: Facts, weights: Weights, seed: int) -> Outcome:
    """Moves every norm's weight into its readers, where these are all matrices; 1 is left.

    A bias moves into the readers' biases, or is divided by the weight where a reader has none.
    """
    found = scalings(facts, weights)
    if not found:
        return Outcome(0, 0, "No norm has a weight.")
    for scaling in found:
        if not scaling.problem:
            _fold(scaling, weights)
    left = [scaling for scaling in found if scaling.problem]
    reasons = dict.fromkeys(scaling.problem for scaling in left)
    sentence = ""
    if left:
        sentence = f"{len(left)} of {len(found)} norms stay: {'; '.join(reasons)}."
    return Outcome(len(found) - len(left), len(found), sentence)


def scalings(facts: Facts, weights: Weights) -> list[Scaling]:
    """By parameter, in the order of execution."""
    found: dict[str, Scaling] = {}
    for node in facts.flow.order:
        for weight, offset, bias in _vectors(node, facts):
            one = found.setdefault(weight, Scaling(weight, offset, bias))
            if (one.offset, one.bias) != (offset, bias):
                one.problem = "a weight that two norms share differs between them"
            _follow(node, facts, one)
    for scaling in found.values():
        scaling.problem = scaling.problem or _problem(scaling, facts, weights)
    return list(found.values())


def _vectors(node: Node, facts: Facts) -> Iterator[tuple[str, float, str | None]]:
    """Weight, offset and bias of an operation that scales an activation by channel."""
    if operation(node) in NORMS:
        weight = facts.parameter(node.args[2], node) if len(node.args) > 2 else None
        with_bias = operation(node) == "aten.layer_norm" and len(node.args) > 3
        if weight is not None:
            yield weight, 0.0, facts.parameter(node.args[3], node) if with_bias else None
    elif operation(node) == "aten.mul" and node in facts.flow.activations:
        for vector, other in zip(node.args, reversed(node.args), strict=True):
            named = facts.vector(vector, node)
            if named is not None and _is_normed(other):
                yield *named, None


def _is_normed(node: object) -> bool:
    """Whether an activation was multiplied by one number for each vector."""
    while isinstance(node, Node) and keeps(node):
        node = node.args[0]
    if not isinstance(node, Node) or operation(node) not in ("aten.mul", "aten.div"):
        return False
    return any(isinstance(each, Node) and width(each) == 1 for each in node.args)


def _follow(node: Node, facts: Facts, scaling: Scaling) -> None:
    """Adds the readers of a node's vectors, and what stands in the way."""
    seen, stack = {node}, [node]
    while stack:
        value = stack.pop()
        for user in value.users:
            layer = facts.layers.get(user)
            if layer is not None and layer.activation is value:
                scaling.readers.append(layer)
            elif user.op != "output" and not has_values(user):
                continue
            elif keeps(user) and user.args[0] is value:
                if user not in seen:
                    seen.add(user)
                    stack.append(user)
            else:
                scaling.problem = scaling.problem or _why(user)


def _why(user: Node) -> str:
    if user.op == "output":
        return "the model's output is read as it is"
    if operation(user) in ("aten.add", "aten.add_"):
        return "a norm behind a block is added to the residual stream"
    return "a norm of queries, keys or states is read by no matrix"


def _problem(scaling: Scaling, facts: Facts, weights: Weights) -> str:
    if not scaling.readers:
        return "nothing reads a norm"
    read = {layer.node for layer in scaling.readers}
    for layer in scaling.readers:
        if any(use.node not in read for use in facts.uses(layer.weight)):
            return "a matrix behind a norm is used elsewhere too"
        if any(weights.same(layer.weight, name) for name in facts.embeddings.values()):
            return (
                "the matrix behind a norm shares its weight with the embedding (untie parts them)"
            )
    if scaling.bias is not None and not _takes_bias(scaling):
        g = weights[scaling.weight].abs()
        if float(g.min()) <= 1e-3 * float(g.max()):
            return "a norm's bias cannot be divided by its weight, which is nearly 0 somewhere"
    return ""


def _takes_bias(scaling: Scaling) -> bool:
    """Whether every reader has a bias for itself that the norm's can go into."""
    return all(layer.bias is not None and not layer.is_bank for layer in scaling.readers)


def _fold(scaling: Scaling, weights: Weights) -> None:
    g = weights[scaling.weight] + scaling.offset
    readers = {layer.weight: layer for layer in scaling.readers}.values()
    if scaling.bias is not None:
        bias = weights[scaling.bias]
        if _takes_bias(scaling):
            for layer in readers:
                assert layer.bias is not None
                weights.put(layer.bias, weights[layer.bias] + bias @ weights.matrix(layer))
            weights.put(scaling.bias, torch.zeros_like(bias))
        else:
            weights.put(scaling.bias, bias / g)
    for layer in readers:
        weights.put_matrix(layer, g[:, None] * weights.matrix(layer))
    weights.put(scaling.weight, torch.full_like(g, 1 - scaling.offset))
