"""Matrices and remainder of a whole model from a trace of some of its layers.

What a traced layer holds is stamped onto every layer that is like it, with the layer's number
changed in all names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from torch import nn

from afmc.errors import ModelError
from afmc.frontends.graph.alike import Layers, find_layers, only_traced
from afmc.frontends.graph.known import key_of, known, remember
from afmc.frontends.graph.loops import trace
from afmc.frontends.graph.matrices import Account, Row, Structure, remainder_of
from afmc.frontends.graph.work import total
from afmc.program.model import Matrix, Work

_BEFORE, _AFTER = -1, -2  # the layers


def find_structure(module: nn.Module) -> Structure:
    """What `find_matrices` finds in the module's graph, without tracing layers that are alike.

    All of them are traced where they cannot stand for one another, and none for a model that is
    built as one before. Raises ModelError for a module that cannot be exported.
    """
    key = key_of(module)
    found = known(key)
    if found is not None:
        return found
    layers = find_layers(module)
    stamped = None if layers is None else _from_some(module, layers)
    return remember(key, trace(module).structure() if stamped is None else stamped)


def _from_some(module: nn.Module, layers: Layers) -> Structure | None:
    try:
        with only_traced(module, layers):
            traced = trace(module)
    except ModelError:
        return None  # for instance it takes layers out of the list by their numbers
    stamped = stamp(traced, layers)
    if stamped is None:
        return None
    matrices, remainder, _ = stamped
    held = sum(matrix.weights for matrix in matrices) + sum(rest.weights for rest in remainder)
    biases = sum(matrix.cols * matrix.copies for matrix in matrices if matrix.bias)
    whole = sum(parameter.numel() for parameter in module.parameters())
    return stamped if held + biases == whole else None


def stamp(traced: Account, layers: Layers) -> Structure | None:
    """The whole model; None where a layer does something that does not carry over to others."""
    part_of = _parts(traced, layers)
    if part_of is None or any(place is None for _, place in traced.operations):
        return None
    counts: dict[int, Counter[Row]] = {}
    for row, place in traced.operations:
        assert place is not None
        counts.setdefault(part_of(place), Counter())[row] += 1
    weights: dict[int, Counter[Row]] = {}
    for parameter, held, row in traced.weights:
        number = layers.number(parameter)
        part = _BEFORE if number is None else number
        weights.setdefault(part, Counter())[row] += held
    matrices: dict[int, list[Matrix]] = {}
    for matrix, places in traced.matrices:
        part = part_of(places[0])
        if not _carries_over(matrix, places, part, part_of, traced, layers):
            return None
        matrices.setdefault(part, []).append(matrix)
    work: dict[int, list[Work]] = {}
    for each, place in traced.work:
        work.setdefault(part_of(place), []).append(each)
    try:
        for layer in layers.traced:
            if not _is_like(layer, layers, matrices, counts, weights):
                return None
            if not _works_alike(layer, layers, work):
                return None
        whole = _stamp_matrices(matrices, layers)
        done = total(_stamp_work(work, layers))
    except KeyError:  # a name of a layer further away
        return None
    parts = [_BEFORE, *layers.like, _AFTER]
    return Structure(whole, remainder_of(_total(counts, parts), _total(weights, parts)), done)


def _is_like(
    layer: int,
    layers: Layers,
    matrices: Mapping[int, Sequence[Matrix]],
    counts: Mapping[int, Counter[Row]],
    weights: Mapping[int, Counter[Row]],
) -> bool:
    """Whether a traced layer is in its trace what is stamped onto it, where that can be seen."""
    model = layers.like[layer]
    if layers.before(layer) != (layer - 1 if layer else None):
        return True  # what was before it in the trace is not what is before it in the model
    return (
        _stamped(layer, layers, matrices) == list(matrices.get(layer, ()))
        and counts.get(layer) == counts.get(model)
        and weights.get(layer) == weights.get(model)
    )


def _parts(traced: Account, layers: Layers) -> Callable[[int], int] | None:
    """What a place belongs to: a traced layer, or what is before or after all of them.

    Operations between two layers belong to the second. None where layers do not follow one another.
    """
    places: dict[int, list[int]] = {}
    for place, path in enumerate(traced.modules):
        number = layers.number(path)
        if number is not None:
            places.setdefault(number, []).append(place)
    if tuple(places) != layers.traced:
        return None
    starts, ends = ([pick(found) for found in places.values()] for pick in (min, max))
    if any(start < end for start, end in zip(starts[1:], ends, strict=False)):
        return None

    def part_of(place: int) -> int:
        index = bisect_left(ends, place)
        if index == len(ends):
            return _AFTER
        return _BEFORE if place < starts[0] else layers.traced[index]

    return part_of


def _carries_over(
    matrix: Matrix,
    places: Sequence[int],
    part: int,
    part_of: Callable[[int], int],
    traced: Account,
    layers: Layers,
) -> bool:
    """Whether the matrix is its layer's own, or no layer's, and so is what it reads."""
    if {part_of(place) for place in places} != {part}:
        return False
    if layers.number(matrix.name) != (None if part < 0 else part):
        return False
    for label in matrix.input.split(","):
        outside = layers.number(label.partition(":")[0]) is None
        if outside and part_of(traced.inputs[label]) not in (_BEFORE, _AFTER):
            return False  # computed anew for each layer, by the model around them
    return True


def _stamp_matrices(matrices: Mapping[int, Sequence[Matrix]], layers: Layers) -> tuple[Matrix, ...]:
    whole = [_renamed(m, layers, {}) for m in matrices.get(_BEFORE, ())]
    for layer in range(layers.count):
        whole += _stamped(layer, layers, matrices)
    last = {layers.traced[-1]: layers.count - 1}
    whole += [_renamed(m, layers, last) for m in matrices.get(_AFTER, ())]
    return tuple(whole)


def _stamp_work(work: Mapping[int, Sequence[Work]], layers: Layers) -> Iterator[Work]:
    yield from work.get(_BEFORE, ())
    for layer in range(layers.count):
        yield from _work_of(layer, layers, work)
    last = {layers.traced[-1]: layers.count - 1}
    yield from (_moved(each, layers, last) for each in work.get(_AFTER, ()))


def _work_of(layer: int, layers: Layers, work: Mapping[int, Sequence[Work]]) -> list[Work]:
    """The work of a layer, from the traced one that it is like."""
    numbers = _numbers(layer, layers)
    return [_moved(each, layers, numbers) for each in work.get(layers.like[layer], ())]


def _works_alike(layer: int, layers: Layers, work: Mapping[int, Sequence[Work]]) -> bool:
    if layers.before(layer) != (layer - 1 if layer else None):
        return True  # as in _is_like
    return _work_of(layer, layers, work) == list(work.get(layer, ()))


def _moved(work: Work, layers: Layers, numbers: dict[int, int]) -> Work:
    return replace(work, after=layers.rename(work.after, numbers))


def _numbers(layer: int, layers: Layers) -> dict[int, int]:
    """What the traced layers are, where the one that this layer is like stands for it."""
    model = layers.like[layer]
    numbers = {model: layer}
    before = layers.before(model)
    if before is not None:
        numbers[before] = layer - 1
    return numbers


def _stamped(layer: int, layers: Layers, matrices: Mapping[int, Sequence[Matrix]]) -> list[Matrix]:
    """The matrices of a layer, from the traced one that it is like."""
    numbers = _numbers(layer, layers)
    return [_renamed(m, layers, numbers) for m in matrices.get(layers.like[layer], ())]


def _renamed(matrix: Matrix, layers: Layers, numbers: dict[int, int]) -> Matrix:
    return replace(
        matrix,
        name=layers.rename(matrix.name, numbers),
        input=layers.rename(matrix.input, numbers),
        module=layers.rename(matrix.module, numbers),
        bias=matrix.bias and layers.rename(matrix.bias, numbers),
        tied_to=matrix.tied_to and layers.rename(matrix.tied_to, numbers),
        sources=tuple(layers.rename(source, numbers) for source in matrix.sources),
    )


def _total(by_part: dict[int, Counter[Row]], parts: Sequence[int]) -> Counter[Row]:
    total: Counter[Row] = Counter()
    for part, times in Counter(parts).items():
        for row, count in by_part.get(part, {}).items():
            total[row] += times * count
    return total
