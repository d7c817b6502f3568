"""The matrices of an ONNX graph and an account of everything else in it, from one run of it.

What an operation computes is seen from the shapes of the values in that run. Every constant is
counted once: the weights of the matrices, their biases and the remainder's weights add up to the
numbers that the graph's constants hold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from onnx import GraphProto, NodeProto

from afmc.frontends.graph import reasons
from afmc.frontends.graph.matrices import Row, Structure, remainder_of
from afmc.frontends.graph.upstream import SourceWalk
from afmc.frontends.graph.windows import Sizes
from afmc.frontends.graph.work import KINDS, total
from afmc.frontends.onnx.products import (
    Constants,
    Product,
    in_branches,
    operator_of,
    product_of,
)
from afmc.frontends.onnx.reasons import SUMS, reason
from afmc.program.model import Matrix, Work

LAYER = "torch.nn.modules.linear.Linear"


def find_products(graph: GraphProto, constants: Constants) -> tuple[list[Product], dict[str, str]]:
    """Products with constant matrices, as executed, and why every other node is digital, by the
    name of its first output.
    """
    products: list[Product] = []
    digital: dict[str, str] = {}
    first: dict[str, Product] = {}
    for node in graph.node:
        found = product_of(node, constants)
        if not isinstance(found, Product):
            digital[node.output[0]] = found or reason(node)
            continue
        one = first.setdefault(found.weight, found)
        if (one.stored, one.bias) != (found.stored, found.bias):
            digital[node.output[0]] = reasons.SHARED
        else:
            products.append(found)
    return products, digital


def structure_of(
    graph: GraphProto,
    constants: Constants,
    products: Sequence[Product],
    digital: Mapping[str, str],
    shapes: Mapping[str, Sizes],
    paths: Mapping[str, str],
    samples: int,
) -> Structure:
    """`shapes` are those of all values in a run with so many samples; `paths` those of layers."""
    made = {product.output: product for product in products}
    uses: dict[str, list[Product]] = {}
    for product in products:
        uses.setdefault(product.weight, []).append(product)
    sources = _sources(graph, made)
    choosing = _choosing(graph, made)
    matrices = tuple(
        _matrix(name, of_one, constants, shapes, samples, paths[name], sources[name], choosing)
        for name, of_one in uses.items()
    )
    counts: Counter[Row] = Counter()
    for node in graph.node:
        if node.output[0] in digital:
            counts[operator_of(node), digital[node.output[0]]] += 1
    for node, region in in_branches(graph):
        counts[operator_of(node), reasons.in_region(region)] += 1
    attached = set(uses) | {product.bias for product in products if product.bias}
    weights = _weights(graph, constants, digital, attached)
    work = total(_work(graph, made, digital, constants, shapes, samples))
    return Structure(matrices, remainder_of(counts, weights), work)


def parameters_of(constants: Constants, structure: Structure) -> int:
    """Numbers in constants that are weights, each counted once."""
    biases = sum(matrix.cols for matrix in structure.matrices if matrix.bias)
    held = sum(matrix.weights for matrix in structure.matrices)
    return held + biases + sum(rest.weights for rest in structure.remainder)


def _matrix(
    name: str,
    uses: Sequence[Product],
    constants: Constants,
    shapes: Mapping[str, Sizes],
    samples: int,
    path: str,
    sources: tuple[str, ...],
    choosing: set[str],
) -> Matrix:
    first, *others = constants.dims(name)
    rows, cols = math.prod(others), first
    if uses[0].stored == "rows_cols":
        rows, cols = cols, rows
    vectors = sum(math.prod(shapes[use.output]) // cols for use in uses)
    return Matrix(
        name=name,
        rows=rows,
        cols=cols,
        input=",".join(dict.fromkeys(map(_input_of, uses))),
        per_token=vectors / samples,
        module=path,
        layer=LAYER,
        operation=operator_of(uses[0].node),
        stored="cols_rows",  # as the layer has it
        bias=uses[0].bias,
        chooses=any(use.output in choosing for use in uses),
        sources=sources,
    )


def _input_of(product: Product) -> str:
    label = product.activation.replace(",", ";")
    return label if product.windows is None else f"{label}:{product.windows}"


def _sources(graph: GraphProto, made: Mapping[str, Product]) -> dict[str, tuple[str, ...]]:
    walk = SourceWalk[str](product.weight for product in made.values())
    for node in graph.node:
        first, *others = node.output
        if first in made:
            walk.product(first, made[first].weight, made[first].activation)
            continue
        for value in (first, *others):
            walk.other(value, _reads(node), sums=node.op_type in SUMS)
    return walk.sources()


def _reads(node: NodeProto) -> Iterator[str]:
    """Names that a node reads, and those that its branches do."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for each in inner.node:
                yield from _reads(each)


def _choosing(graph: GraphProto, made: Mapping[str, Product]) -> set[str]:
    """The products that a top-k selection reads without another product between."""
    maker = {name: node for node in graph.node for name in node.output if name}
    stack = [name for node in graph.node if node.op_type == "TopK" for name in node.input[:1]]
    seen, found = set(stack), set()
    while stack:
        name = stack.pop()
        if name in made:
            found.add(name)
            continue
        operands = set(maker[name].input) - seen if name in maker else set()
        seen |= operands
        stack += operands
    return found


def _weights(
    graph: GraphProto,
    constants: Constants,
    digital: Mapping[str, str],
    attached: Iterable[str],
) -> Counter[Row]:
    """Floating-point numbers of constants that no matrix holds or adds, under the first operation
    that reads them; of constants that others are made from, once.
    """
    counted = set(attached)
    weights: Counter[Row] = Counter()
    for node in graph.node:
        if node.output[0] not in digital:
            continue
        for name in _constants_read(node, constants):
            if name not in counted:
                counted.add(name)
                row = (operator_of(node), digital[node.output[0]])
                weights[row] += math.prod(constants.dims(name))
    for name in constants.tensors:
        if name not in counted and _is_weight(name, constants):
            weights["none", reasons.UNREAD] += math.prod(constants.dims(name))
    return weights


def _constants_read(node: NodeProto, constants: Constants) -> Iterator[str]:
    """Weights that a node reads; what only hands one on to others does not count as reading."""
    if node.output[0] in constants.known:
        return
    stack = list(_reads(node))
    while stack:
        name = stack.pop()
        if name in constants.tensors:
            if _is_weight(name, constants):
                yield name
        elif name in constants.makers:
            stack += constants.makers[name].input


def _is_weight(name: str, constants: Constants) -> bool:
    """Whether it is what a model learns: floating point, and more than a single number."""
    return bool(constants.dims(name)) and constants.is_floating(name)


def _work(
    graph: GraphProto,
    made: Mapping[str, Product],
    digital: Mapping[str, str],
    constants: Constants,
    shapes: Mapping[str, Sizes],
    samples: int,
) -> Iterator[Work]:
    after = ""
    for node in graph.node:
        name = node.output[0]
        if name in made:
            after = made[name].weight
            continue
        kind = KINDS.get(digital[name])
        if digital[name] == reasons.TWO_ACTIVATIONS:
            kind = "attention"
        if kind is None or name in constants.known or name not in shapes:
            continue
        values = math.prod(shapes[name]) / samples
        if kind == "attention":
            values *= shapes[node.input[0]][-1]
        yield Work(after, kind, values=values)
