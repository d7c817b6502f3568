"""Where the inputs of the matrices come from: which other matrices' outputs reach them.

One walk over the graph in the order of execution. A set of matrices is an integer with a bit for
each, so that the walk takes time for each node and not for each pair of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch.fx import Node

from afmc.frontends.dataflow import REARRANGES, Dataflow, operation

_SUMS = {"aten.add", "aten.add_"}


def find_sources(
    flow: Dataflow, products: Mapping[Node, tuple[str, Node]]
) -> dict[str, tuple[str, ...]]:
    """By name of a matrix, those whose outputs reach its input, as `ir.Matrix.sources` defines it.

    `products` has the matrix and the activation that it reads for every operation that one covers.
    """
    names = list(dict.fromkeys(name for name, _ in products.values()))
    bit = {name: 1 << index for index, name in enumerate(names)}
    reads = dict.fromkeys(names, 0)
    before = [0] * len(names)  # all matrices that each one's output was computed from
    reached: dict[Node, int] = {}
    for node in flow.order:
        if node in products:
            name, activation = products[node]
            index = bit[name].bit_length() - 1
            reads[name] |= reached[activation]
            before[index] |= reached[activation]
            for source in _bits(reached[activation]):
                before[index] |= before[source]
            reached[node] = bit[name]
        else:
            reached[node] = 0
            for operand in flow.edges.predecessors(node):
                reached[node] |= reached[operand]
            if operation(node) in _SUMS:
                reached[node] = _last(reached[node], before)
            for written in _written(node):
                reached[written] |= reached[node]
    return {name: tuple(names[index] for index in _bits(reads[name])) for name in names}


def _written(node: Node) -> Iterator[Node]:
    """What an operation in place changes: its first operand, and what that is a view of."""
    if not operation(node).endswith("_"):
        return
    operand = node.args[0]
    while isinstance(operand, Node):
        yield operand
        operand = operand.args[0] if operation(operand) in REARRANGES else None


def _last(matrices: int, before: list[int]) -> int:
    """Those of the set that no other one of it was computed from."""
    earlier = 0
    for index in _bits(matrices):
        earlier |= before[index] & ~(1 << index)
    return matrices & ~earlier or matrices


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
