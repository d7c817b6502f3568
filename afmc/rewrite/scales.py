"""Factors for channels, moved from a matrix into those that read its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from afmc.frontends.graph.dataflow import operation
from afmc.rewrite.facts import Facts, Layer, Outcome, Weights
from afmc.rewrite.heads import attends, by_head
from afmc.rewrite.labels import Sink, Walk, shape_with_hints, walk


@dataclass(frozen=True, eq=False)
class Scalable:
    """A matrix whose outputs are read in proportion, by matrices alone."""

    layer: Layer
    biases: tuple[str, ...]
    columns: Tensor
    """[cols]: whether the column can have a factor of its own."""
    readers: tuple[tuple[Layer, Tensor], ...]
    """Layers with the column that each of their rows reads."""


def scaled(factors: Mapping[str, Tensor]) -> _Scaled:
    """A rewrite that multiplies columns of matrices by factors, and rows behind them by 1 / factor.

    `factors` has positive numbers [cols] by name of a weight. Between a column and the rows there
    may be sums over tokens, products with other activations (up, behind it silu(gate) * up) and
    ReLU. Where heads share values, one factor serves the rows of all of them. Columns that lead
    elsewhere keep factor 1.
    """
    return _Scaled(factors)


@dataclass(frozen=True)
class _Scaled:
    factors: Mapping[str, Tensor]

    def __call__(self, facts: Facts, weights: Weights, seed: int) -> Outcome:
        points = {point.layer.weight: point for point in scalable(facts, weights)}
        left = [name for name in self.factors if name not in points]
        for name, factor in self.factors.items():
            if name in points:
                _scale(points[name], weights, factor.double())
        sentence = f"Not read in proportion by matrices alone: {', '.join(left)}." if left else ""
        return Outcome(len(self.factors) - len(left), len(self.factors), sentence)


def scalable(facts: Facts, weights: Weights) -> list[Scalable]:
    """Every matrix some of whose columns can have factors, in the order of execution."""
    found = []
    for layer in facts.layers.values():
        shape = shape_with_hints(layer.node)
        if layer.is_bank or shape is None or not _alone(layer, facts, weights):
            continue
        after = walk(facts, layer.node, torch.arange(shape[-1]).expand(shape), _in_proportion)
        point = _point(layer, shape[-1], after, facts, weights)
        if point is not None:
            found.append(point)
    return found


def _alone(layer: Layer, facts: Facts, weights: Weights) -> bool:
    """Whether a weight serves one product and nothing else."""
    embedded = any(weights.same(layer.weight, name) for name in facts.embeddings.values())
    return len(facts.uses(layer.weight)) == 1 and not embedded


def _in_proportion(node: Node, operand: Node, labels: Tensor, alone: bool) -> Tensor | None:
    """Labels behind an operation whose result grows with each operand's channel alone."""
    shape = shape_with_hints(node) if isinstance(node.meta.get("val"), Tensor) else None
    if shape is None:
        return None
    if alone and operation(node) in ("aten.mul", "aten.relu") and labels.shape[-1] == shape[-1]:
        return labels.expand(shape)
    if attends(Sink(node, operand, labels)):
        read = by_head(labels[..., 0, :], shape[:-2])
        if read is not None:
            return read.view(*shape[:-2], 1, shape[-1]).expand(shape)
    return None


def _point(
    layer: Layer, columns: int, after: Walk, facts: Facts, weights: Weights
) -> Scalable | None:
    free = torch.ones(columns, dtype=torch.bool)
    if after.problem:
        return None
    readers = []
    for sink in after.sinks:
        reader = facts.layers.get(sink.node)
        labels = sink.labels.reshape(-1, sink.labels.shape[-1])
        reads = reader is not None and reader.activation is sink.operand and not reader.is_bank
        if reader is None or not reads or not _alone(reader, facts, weights):
            free[torch.unique(labels)] = False
        elif bool((labels != labels[0]).any()):
            return None
        else:
            readers.append((reader, labels[0]))
    if not readers or not free.any():
        return None
    return Scalable(layer, tuple(after.biases), free, tuple(readers))


def _scale(point: Scalable, weights: Weights, factor: Tensor) -> None:
    factor = torch.where(point.columns, factor, torch.ones_like(factor))
    layer = point.layer
    weights.put_matrix(layer, weights.matrix(layer) * factor)
    for bias in (*point.biases, *([layer.bias] if layer.bias else [])):
        weights.put(bias, weights[bias] * factor)
    for reader, columns in point.readers:
        weights.put_matrix(reader, weights.matrix(reader) / factor[columns][:, None])
