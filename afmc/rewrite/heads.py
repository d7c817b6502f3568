"""Rotations within the heads of attention: values turn on their way from one matrix to another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fx import Node

from afmc.frontends.graph.dataflow import operation
from afmc.rewrite.facts import Facts, Layer, Outcome, Weights
from afmc.rewrite.labels import Sink, Walk, shape_with_hints, walk
from afmc.rewrite.orthogonal import rotation

_ATTENTION = "aten.scaled_dot_product_attention"
_PRODUCTS = {"aten.matmul", "aten.bmm"}


@dataclass(frozen=True, eq=False)
class Values:
    """A matrix that computes values of attention, and the matrix that reads what heads give."""

    layer: Layer
    biases: tuple[str, ...]
    columns: Tensor
    """[heads, channels]: the column of the layer that each channel of a head's values is. Heads
    that share values have the same columns."""
    reader: Layer
    rows: Tensor
    """[heads, channels]: the row of the reader that each channel goes to."""


def heads(facts: Facts, weights: Weights, seed: int) -> Outcome:
    """Turns the values of each head by an orthogonal matrix: R2 of SpinQuant.

    Columns of the matrix that computes values, and its bias, become W R, and rows of the matrix
    that reads the heads R^T W. Heads that share their values share R.
    """
    found, problems = find_values(facts, weights)
    for number, values in enumerate(found):
        _turn(values, weights, seed, number)
    if not found and not problems:
        return Outcome(0, 0, "No matrix computes values for attention.")
    of, sentence = len(found) + sum(problems.values()), ""
    if problems:
        reasons = "; ".join(problems)
        sentence = f"{of - len(found)} of {of} attentions stay: {reasons}."
    return Outcome(len(found), of, sentence, tuple(each.reader.weight for each in found))


def find_values(facts: Facts, weights: Weights) -> tuple[list[Values], Counter[str]]:
    """Values of every attention that can be turned, and why others cannot, counted."""
    found: list[Values] = []
    problems: Counter[str] = Counter()
    for layer in facts.layers.values():
        shape = shape_with_hints(layer.node)
        if layer.is_bank or shape is None:
            continue
        columns = walk(facts, layer.node, torch.arange(shape[-1]).expand(shape))
        attended = [sink for sink in columns.sinks if attends(sink)]
        for sink in attended:
            values = _values(facts, layer, columns, sink)
            problem = values if isinstance(values, str) else _used_once(values, facts, weights)
            if problem:
                problems[problem] += 1
            elif isinstance(values, Values):
                found.append(values)
    return found, problems


def attends(sink: Sink) -> bool:
    """Whether tokens' labelled vectors are summed with weights that other values give."""
    args = sink.node.args
    if operation(sink.node) == _ATTENTION:
        is_value = args[2] is sink.operand and sink.operand not in args[:2]
    else:
        is_value = operation(sink.node) in _PRODUCTS and args[1] is sink.operand is not args[0]
    labels = sink.labels
    return is_value and labels.ndim > 2 and bool((labels == labels[..., :1, :]).all())


def _values(facts: Facts, layer: Layer, columns: Walk, sink: Sink) -> Values | str:
    """What a sum over tokens reads and gives; or why it cannot be turned."""
    channels = sink.labels.shape[-1]
    mine = set(sink.labels.flatten().tolist())
    if columns.problem:
        return columns.problem
    for other in columns.sinks:
        if other is not sink and not mine.isdisjoint(other.labels.flatten().tolist()):
            return f"{_short(other.node)} reads the values too"
    shape = shape_with_hints(sink.node)
    if shape is None or shape[-1] != channels:
        return f"{_short(sink.node)} gives vectors of another size"
    read = by_head(sink.labels[..., 0, :], shape[:-2])
    if read is None:
        return f"{_short(sink.node)} has other heads than its values"
    given = torch.arange(len(read) * channels).view(*shape[:-2], 1, channels).expand(shape)
    after = walk(facts, sink.node, given)
    if after.problem or after.biases or len(after.sinks) != 1:
        return after.problem or "more than one operation reads what the heads give"
    (end,) = after.sinks
    reader = facts.layers.get(end.node)
    if reader is None or reader.is_bank or reader.activation is not end.operand:
        return f"{_short(end.node)} reads what the heads give"
    return _in_heads(Values(layer, tuple(columns.biases), read, reader, end.labels), channels)


def by_head(labels: Tensor, leading: list[int]) -> Tensor | None:
    """Columns [heads of all sequences, channels] that a sum over tokens reads for each it gives."""
    given, channels = list(labels.shape[:-1]), labels.shape[-1]
    if len(given) != len(leading):
        return None
    for axis, (have, want) in enumerate(zip(given, leading, strict=True)):
        if want % have:
            return None
        labels = labels.repeat_interleave(want // have, axis)  # heads that share values
    return labels.reshape(-1, channels)


def _in_heads(values: Values, channels: int) -> Values | str:
    """With rows by head, from labels of the reader's inputs, and columns of these heads."""
    labels = values.rows.reshape(-1, values.rows.shape[-1])
    columns = values.columns.flatten()[labels]
    order = labels[0].argsort()
    by_head = labels[0][order].reshape(-1, channels) if len(order) % channels == 0 else None
    if by_head is None or bool((columns != columns[0]).any()):
        return "heads are rearranged in another way for each token"
    if not bool((by_head % channels == torch.arange(channels)).all()):
        return "a part of what a head gives is read"
    found = values.columns[by_head[:, 0] // channels]
    distinct = [number for head in set(map(tuple, found.tolist())) for number in head]
    if len(set(distinct)) != len(distinct):
        return "heads share a part of their values"
    return replace(values, columns=found, rows=order.reshape(-1, channels))


def _used_once(values: Values, facts: Facts, weights: Weights) -> str:
    """Why the two matrices cannot be changed, or nothing."""
    for layer in (values.layer, values.reader):
        if len(facts.uses(layer.weight)) > 1:
            return "a matrix is used more than once"
        if any(weights.same(layer.weight, name) for name in facts.embeddings.values()):
            return "a matrix shares its weight with the embedding"
    return ""


def _turn(values: Values, weights: Weights, seed: int, number: int) -> None:
    channels = values.rows.shape[1]
    written, read = weights.matrix(values.layer).clone(), weights.matrix(values.reader).clone()
    names = [*values.biases, *([values.layer.bias] if values.layer.bias else [])]
    biases = {name: weights[name].clone() for name in names}
    of_columns: dict[tuple[int, ...], Tensor] = {}
    for columns, rows in zip(values.columns, values.rows, strict=True):
        key = tuple(columns.tolist())
        if key not in of_columns:
            seeds = (seed, 2, number, len(of_columns))
            of_columns[key] = q = torch.from_numpy(rotation(channels, seeds))
            written[:, columns] = written[:, columns] @ q
            for bias in biases.values():
                bias[columns] = bias[columns] @ q
        read[rows] = of_columns[key].T @ read[rows]
    weights.put_matrix(values.layer, written)
    weights.put_matrix(values.reader, read)
    for name, bias in biases.items():
        weights.put(name, bias)


def _short(node: Node) -> str:
    return operation(node).rpartition(".")[2]
