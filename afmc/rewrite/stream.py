"""The residual stream: every value whose vectors turn when the embedding's rows are turned.

Found by rules for operations alone. From an embedding the values are followed forwards and
backwards over what commutes with an orthogonal matrix Q along the last dimension: sums, factors for
a whole vector, norms without weights, rearrangements. Matrices bound it: a writer's outputs and a
reader's inputs turn with it. Whatever else touches it stands in the way, and is named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.fx import Node

from afmc.frontends.graph.dataflow import operation, shape_of
from afmc.rewrite.facts import NORMS, Facts, Layer, Outcome, Weights, has_values, keeps, width
from afmc.rewrite.orthogonal import rotation

_SUMS = {"aten.add", "aten.add_", "aten.sub"}
_FACTORS = {"aten.mul", "aten.mul_", "aten.div", "aten.div_"}
_REDUCTIONS = {"aten.sum", "aten.mean"}
_ZEROS = {"aten.zeros", "aten.zeros_like", "aten.new_zeros"}
_INTO = {"aten.index_add", "aten.index_add_"}
_LINEAR = {"aten.neg"}
_FOLD = "a norm behind a block, or one whose weight was not folded"


@dataclass(eq=False)
class Stream:
    """A set of values that turn together, and the parameters at its edge."""

    start: Node
    width: int
    vectors: list[str] = field(default_factory=list)
    """Parameters [..., width] that become part of it: rows of embeddings, biases."""
    writers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    factors: list[tuple[str, float]] = field(default_factory=list)
    """Vectors that multiply it by channel, and what is added to each: all must be constant."""
    keeps_ones: bool = False
    """Whether a norm takes means over channels, so that Q must leave (1, ..., 1) alone."""
    scaled_by_size: bool = False
    """Whether a norm divides it by its size, mean included."""
    problem: str = ""


def residual(facts: Facts, weights: Weights, seed: int) -> Outcome:
    """Turns the residual stream by one orthogonal Q: R1 of SpinQuant and QuaRot.

    Rows of embeddings and what matrices write become x Q, and matrices that read it Q^T W. Where
    norms take means off, Q keeps the vector of ones, and what writes the stream is centred first,
    which those norms do not see.
    """
    stream = residual_stream(facts)
    if stream is None:
        return Outcome(0, 0, "No embedding leads to a matrix.")
    problem = stream.problem or _not_constant(stream, weights)
    if problem:
        return Outcome(0, 1, problem)
    q = torch.from_numpy(rotation(stream.width, (seed, 1), keeps_ones=stream.keeps_ones))
    centred = _centred(stream, facts, weights) if stream.keeps_ones else set()
    turn(stream, weights, q, centred)
    return Outcome(1, 1, rotated=tuple(layer.weight for layer in _once(stream.readers)))


def turn(stream: Stream, weights: Weights, q: Tensor, centred: Collection[str] = ()) -> None:
    """Turns all parameters at the edge of a stream by q; those in `centred` lose their mean before.

    A parameter that is both an embedding and read as a matrix is turned once, which serves both.
    """
    off_mean = q - q.mean(0)
    for name in dict.fromkeys(stream.vectors):
        weights.put(name, weights[name] @ (off_mean if name in centred else q))
    for layer in _once(stream.writers):
        into = off_mean if layer.weight in centred else q
        weights.put_matrix(layer, weights.matrix(layer) @ into)
        if layer.bias is not None:
            weights.put(layer.bias, weights[layer.bias] @ into)
    for layer in _once(stream.readers):
        if not any(weights.same(layer.weight, name) for name in stream.vectors):
            weights.put_matrix(layer, q.T @ weights.matrix(layer))


def residual_stream(facts: Facts) -> Stream | None:
    """Of the streams that begin at embeddings the one that most matrices touch, or None."""
    found = [_Closure(facts, node, through_norms=True).stream for node in facts.embeddings]
    most = max(found, key=lambda each: len(each.readers) + len(each.writers), default=None)
    return most if most is not None and (most.readers or most.writers) else None


def _centred(stream: Stream, facts: Facts, weights: Weights) -> set[str]:
    """Parameters that write what only norms read that take the mean off."""
    before = _Closure(facts, stream.start, through_norms=False).stream
    if before.problem or before.readers or before.factors or before.scaled_by_size:
        return set()
    names = {*before.vectors, *(layer.weight for layer in before.writers)}
    read = [layer.weight for layer in stream.readers]
    return {name for name in names if not any(weights.same(name, other) for other in read)}


def _once(layers: Iterable[Layer]) -> Iterable[Layer]:
    return {layer.weight: layer for layer in layers}.values()


def _not_constant(stream: Stream, weights: Weights) -> str:
    for name, offset in stream.factors:
        values = weights[name] + offset
        if bool((values != values[0]).any()):
            return f"{name} scales the residual stream by channel: {_FOLD}."
    return ""


class _Closure:
    """Follows a stream from one of its values, in both directions."""

    def __init__(self, facts: Facts, start: Node, *, through_norms: bool) -> None:
        self.facts, self.through_norms = facts, through_norms
        size = width(start)
        self.stream = Stream(start, size or 0)
        self.members: set[Node] = set()
        self.queue: list[Node] = []
        self._join(start)
        while self.queue and not self.stream.problem:
            node = self.queue.pop(0)
            self._made_by(node)
            for user in node.users:
                self._read_by(user, node)

    def _join(self, node: object) -> None:
        if isinstance(node, Node) and node not in self.members:
            if width(node) != self.stream.width:
                self._stop(node)
                return
            self.members.add(node)
            self.queue.append(node)

    def _stop(self, node: Node) -> None:
        name = operation(node).rpartition(".")[2] or "the output"
        self.stream.problem = self.stream.problem or f"The residual stream is read by {name}."

    def _made_by(self, node: Node) -> None:
        """What a member was made from turns as well."""
        name, args, stream = operation(node), node.args, self.stream
        if node in self.facts.layers:
            stream.writers.append(self.facts.layers[node])
        elif node in self.facts.embeddings:
            stream.vectors.append(self.facts.embeddings[node])
        elif node.op == "placeholder":
            self._constant(node)
        elif name in NORMS:
            self._norm(node)
        elif name in _SUMS:
            self._sum(node)
        elif name in _FACTORS:
            self._factor(node)
        elif keeps(node) or name in _LINEAR or (name in _REDUCTIONS and not _over_last(node)):
            self._join(args[0])
        elif name in _INTO:
            self._join(args[0])
            self._join(args[3])
        elif name not in _ZEROS:
            self._stop(node)

    def _read_by(self, user: Node, node: Node) -> None:
        """What reads a member turns as well, or does not notice, or stands in the way."""
        name, stream = operation(user), self.stream
        layer = self.facts.layers.get(user)
        if layer is not None and layer.activation is node:
            stream.readers.append(layer)
        elif user.op == "output":
            stream.problem = stream.problem or "The residual stream is an output."
        elif not has_values(user):
            return
        elif name in NORMS and not self.through_norms:
            stream.scaled_by_size |= name != "aten.layer_norm"
        elif name == "aten.pow" and user.args[1] == 2 and _sizes_only(user):
            stream.scaled_by_size = True
        elif name == "aten.mean" and _over_last(user):
            stream.keeps_ones = True
        elif name in NORMS | _SUMS | _FACTORS | _REDUCTIONS | _INTO | _LINEAR or keeps(user):
            self._join(user)
        else:
            self._stop(user)

    def _constant(self, node: Node) -> None:
        """A parameter that is added, or a constant that nothing can turn."""
        name = self.facts.parameters.get(node.name)
        if name is None:
            self.stream.problem = f"The constant {node.name} is added."
        else:
            self.stream.vectors.append(name)

    def _norm(self, node: Node) -> None:
        stream, args = self.stream, node.args
        if list(args[1]) != [stream.width]:  # type: ignore[arg-type]
            self._stop(node)
            return
        is_layer_norm = operation(node) == "aten.layer_norm"
        stream.keeps_ones |= is_layer_norm
        if len(args) > 2 and args[2] is not None:
            weight = self.facts.vector(args[2], node)
            if weight is None:
                self._stop(node)
            else:
                stream.factors.append(weight)
        if is_layer_norm and len(args) > 3:
            self._join(args[3])
        if self.through_norms:
            self._join(args[0])
        else:
            self._stop(node)  # a norm's output is added: not a norm before a block

    def _sum(self, node: Node) -> None:
        for operand in node.args[:2]:
            if width(operand) == 1 != self.stream.width:
                self.stream.keeps_ones = True  # a number for all channels
            else:
                self._join(operand)

    def _factor(self, node: Node) -> None:
        """One factor is a member; the other is a number for all channels, or a vector."""
        members = []
        for operand in node.args[:2]:
            vector = self.facts.vector(operand, node)
            if vector is not None:
                self.stream.factors.append(vector)
            elif width(operand) != 1:
                members.append(operand)
        if len(members) == 1:
            self._join(members[0])
        else:
            self._stop(node)


def _over_last(node: Node) -> bool:
    """Whether a sum or a mean goes over channels."""
    operand, axes = node.args[0], node.args[1] if len(node.args) > 1 else None
    rank = len(shape_of(operand) or ()) if isinstance(operand, Node) else 0
    if not isinstance(axes, list | tuple):
        return True
    return any(axis in (-1, rank - 1) for axis in axes)


def _sizes_only(square: Node) -> bool:
    """Whether of squares nothing is read but their sum or mean over channels."""
    users = [user for user in square.users if has_values(user)]
    return bool(users) and all(
        operation(user) in _REDUCTIONS and list(user.args[1]) in ([-1],)  # type: ignore[arg-type]
        for user in users
    )
