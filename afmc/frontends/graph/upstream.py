"""Where the inputs of the matrices come from: which other matrices' outputs reach them.

One walk over the graph in the order of execution. A set of matrices is an integer with a bit for
each, so that the walk takes time for each node and not for each pair of matrices.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from torch.fx import Node

from afmc.frontends.graph.dataflow import REARRANGES, Dataflow, operation

_SUMS = {"aten.add", "aten.add_"}

Value = TypeVar("Value", bound=Hashable)


def find_sources(
    flow: Dataflow, products: Mapping[Node, tuple[str, Node]]
) -> dict[str, tuple[str, ...]]:
    """By name of a matrix, those whose outputs reach its input, as `ir.Matrix.sources` defines it.

    `products` has the matrix and the activation that it reads for every operation that one covers.
    """
    walk = SourceWalk[Node](name for name, _ in products.values())
    for node in flow.order:
        if node in products:
            walk.product(node, *products[node])
        else:
            sums = operation(node) in _SUMS
            walk.other(node, flow.edges.predecessors(node), sums=sums, writes=_written(node))
    return walk.sources()


class SourceWalk(Generic[Value]):
    """Told of every operation in the order of execution; a value is named by what made it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(dict.fromkeys(names))
        self._bit = {name: 1 << index for index, name in enumerate(self._names)}
        self._reads = dict.fromkeys(self._names, 0)
        self._before = [0] * len(self._names)  # all matrices that each one's output is made from
        self._reached: dict[Value, int] = {}

    def product(self, value: Value, matrix: str, activation: Value) -> None:
        """The product of an activation with a matrix."""
        reached = self._reached.get(activation, 0)
        index = self._bit[matrix].bit_length() - 1
        self._reads[matrix] |= reached
        self._before[index] |= reached
        for source in _bits(reached):
            self._before[index] |= self._before[source]
        self._reached[value] = self._bit[matrix]

    def other(
        self, value: Value, operands: Iterable[Value], *, sums: bool, writes: Iterable[Value] = ()
    ) -> None:
        """Any other operation; `sums`: it adds up its operands. It may write over other values."""
        reached = 0
        for operand in operands:
            reached |= self._reached.get(operand, 0)
        self._reached[value] = _last(reached, self._before) if sums else reached
        for written in writes:
            self._reached[written] |= self._reached[value]

    def sources(self) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(self._names[index] for index in _bits(self._reads[name]))
            for name in self._names
        }


def _written(node: Node) -> Iterator[Node]:
    """What an operation in place changes: its first operand, and what that is a view of."""
    if not operation(node).endswith("_"):
        return
    operand = node.args[0]
    while isinstance(operand, Node):
        yield operand
        operand = operand.args[0] if operation(operand) in REARRANGES else None


def _last(matrices: int, before: list[int]) -> int:
    """Members of the set that no other member was computed from."""
    earlier = 0
    for index in _bits(matrices):
        earlier |= before[index] & ~(1 << index)
    return matrices & ~earlier or matrices


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
