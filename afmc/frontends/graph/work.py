"""How much digital work there is between the matrices, for one token.

An operation's work is counted by the values that it computes for the example. Values of which there
are as many as tokens times tokens (scores of attention) are counted by position of the context.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch.fx import Node

from afmc.frontends.graph import reasons
from afmc.frontends.graph.dataflow import REARRANGES, Dataflow, module_of, operation
from afmc.program.model import Unit, Work, WorkKind

KINDS: dict[str, WorkKind] = {
    reasons.NORMALISATION: "norm",
    reasons.ACTIVATION: "activation",
    reasons.SOFTMAX: "softmax",
    reasons.ATTENTION: "attention",
    reasons.ELEMENTWISE: "elementwise",
    reasons.REDUCTION: "elementwise",
    reasons.POSITION: "elementwise",
    reasons.SELECTION: "elementwise",
    reasons.LOOK_UP: "look-up",
}
_FUSED = "aten.scaled_dot_product_attention", "aten._scaled_dot_product_flash_attention_for_cpu"

Sizes = tuple[int, ...]
Tokens = tuple[int, int | None]
"""Batch and length of the example; None where the batch alone counts."""


def work_of(
    flow: Dataflow, digital: Mapping[Node, str], products: Mapping[Node, str], unit: Unit
) -> list[tuple[Work, int]]:
    """The work of each operation, with the operation's place in the order of execution.

    `digital` has the reason of every operation that no matrix covers, `products` the matrix of
    every operation that one does. Of an inference nothing depends on a position in a context.
    """
    tokens = _tokens(flow) if unit == "token" else (samples_of(flow), None)
    if tokens is None:
        return []
    found: list[tuple[Work, int]] = []
    after = ""
    norms: dict[tuple[str, str], int] = {}
    for place, node in enumerate(flow.order):
        after = products.get(node, after)
        kind = KINDS.get(digital.get(node, ""))
        if kind is None or node not in flow.activations:
            continue
        for work in _work(node, kind, after, tokens):
            path = module_of(node)[0]
            if kind == "norm" and (path, after) in norms:  # its widest step stands for it
                at = norms[path, after]
                if work.values > found[at][0].values:
                    found[at] = (work, place)
                continue
            if kind == "norm":
                norms[path, after] = len(found)
            found.append((work, place))
    return found


def total(work: Iterable[Work]) -> tuple[Work, ...]:
    """Added up by what it comes after and by kind, in the order of the first of each."""
    sums: dict[tuple[str, WorkKind], Work] = {}
    for each in work:
        before = sums.get((each.after, each.kind))
        sums[each.after, each.kind] = (
            each
            if before is None
            else replace(
                before,
                values=before.values + each.values,
                by_position=before.by_position + each.by_position,
                cached=before.cached + each.cached,
            )
        )
    return tuple(sums.values())


def _work(node: Node, kind: WorkKind, after: str, tokens: Tokens) -> Iterator[Work]:
    sizes = _sizes(node)
    if sizes is None:
        return
    batch, length = tokens
    count = math.prod(sizes)
    if kind == "attention":
        operands = [_sizes(each) for each in node.all_input_nodes[:3]]
        if None in operands:
            return
        yield from _attention(node, [each for each in operands if each], after, tokens)
    elif length is None:
        yield Work(after, kind, values=count / batch)
    elif sizes.count(length) > 1:
        yield Work(after, kind, by_position=count / (batch * length * length))
    else:
        yield Work(after, kind, values=count / (batch * length))


def _attention(node: Node, operands: Sequence[Sizes], after: str, tokens: Tokens) -> Iterator[Work]:
    """Products of a query with keys and of weights with values, for each position."""
    batch, length = tokens
    if length is None:
        yield from _attention_of_sample(node, operands, after, batch)
        return
    if operation(node) in _FUSED and len(operands) == 3:
        query, _, value = operands
        heads = math.prod(query[:-2]) / batch
        macs = heads * (query[-1] + value[-1])
        yield Work(after, "softmax", by_position=heads)
        kept = node.all_input_nodes[1:3]
    else:
        macs = math.prod(_sizes(node) or ()) * operands[0][-1] / (batch * length * length)
        kept = node.all_input_nodes[1:2]
    cached = sum(_stored(each) for each in kept) / (batch * length)
    yield Work(after, "attention", by_position=macs, cached=cached)


def _attention_of_sample(
    node: Node, operands: Sequence[Sizes], after: str, batch: int
) -> Iterator[Work]:
    if operation(node) in _FUSED and len(operands) == 3:
        query, key, value = operands
        scores = math.prod(query[:-1]) * key[-2] / batch
        yield Work(after, "softmax", values=scores)
        yield Work(after, "attention", values=scores * (query[-1] + value[-1]))
        return
    macs = math.prod(_sizes(node) or ()) * operands[0][-1] / batch
    yield Work(after, "attention", values=macs)


def _stored(node: Node) -> int:
    """Values of an operand before they were repeated for several heads."""
    least = math.prod(_sizes(node) or (0,))
    while operation(node) in REARRANGES and isinstance(node.args[0], Node):
        node = node.args[0]
        least = min(least, math.prod(_sizes(node) or (least,)))
    return least


def _tokens(flow: Dataflow) -> Tokens | None:
    """Batch and length of the example."""
    sizes = _first_input(flow)
    return (sizes[0], sizes[1]) if sizes is not None and len(sizes) == 2 else None


def samples_of(flow: Dataflow) -> int:
    """The first size of the example's first input."""
    return (_first_input(flow) or (1,))[0] or 1


def _first_input(flow: Dataflow) -> Sizes | None:
    inputs = [n for n in flow.order if n.op == "placeholder" and n in flow.activations]
    return _sizes(inputs[0]) if inputs else None


def _sizes(node: Node) -> Sizes | None:
    """Sizes of the example; None for what is no tensor, or has sizes that depend on values."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return None
    sizes = [each.node.hint if isinstance(each, torch.SymInt) else each for each in value.shape]
    return None if None in sizes else tuple(sizes)
