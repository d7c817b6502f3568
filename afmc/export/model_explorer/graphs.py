"""Graphs of a program for Model Explorer: its dataflow, and what is on which tile.

What computes the input of a matrix is one node, an activation. Edges go to it from the matrices
whose outputs it is computed from, and from it to those that read it. On tiles the parts of a matrix
are nodes of their own, and the matrix is where they are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from afmc.common.numbers import count, percent
from afmc.export.model_explorer.parts import Parts, parts_drawn
from afmc.program.compiled import CompiledProgram
from afmc.program.model import ONE, Matrix
from afmc.program.program import Program

DATAFLOW, TILES = "dataflow", "tiles"
_START = "start"
_ANALOG, _DIGITAL = "#dbe9f6", "#eeeeee"


@dataclass(frozen=True)
class Node:
    id: str
    label: str
    namespace: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[str] = ()
    colour: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label,
            "namespace": self.namespace,
            "attrs": [{"key": key, "value": value} for key, value in self.attributes.items()],
            "incomingEdges": [
                {"sourceNodeId": each, "sourceNodeOutputId": "0", "targetNodeInputId": str(number)}
                for number, each in enumerate(self.sources)
            ],
            **({"style": {"backgroundColor": self.colour}} if self.colour else {}),
        }


@dataclass(frozen=True)
class Graph:
    id: str
    nodes: Sequence[Node]
    groups: Mapping[str, Mapping[str, str]]
    """Attributes by namespace; under the empty one, of the whole graph."""
    matrix_of: Mapping[str, str]
    """Name of the matrix that a node on tiles is or belongs to."""
    use: Mapping[str, float]
    """Share of the cells of the same nodes' crossbars that hold weights."""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "nodes": [node.to_json() for node in self.nodes],
            "groupNodeAttributes": {name: dict(each) for name, each in self.groups.items()},
        }


def graphs_of(kept: CompiledProgram, errors: Mapping[str, float]) -> tuple[Graph, Graph, Parts]:
    """Dataflow, tiles, and how the parts on tiles are drawn. `errors` are those of products, by
    matrix, where they are known."""
    drawn = parts_drawn(kept)
    flow = list(_flow(kept.program, drawn, errors))
    return _dataflow(kept, drawn, flow), _tiles(kept, drawn, flow, errors), drawn


def _dataflow(kept: CompiledProgram, drawn: Parts, flow: Sequence[Node]) -> Graph:
    names = {matrix.name: matrix.name for matrix in kept.program.analog}
    groups = {"": _about(kept)}
    return Graph(DATAFLOW, flow, groups, names, drawn.use_of_matrix)


def _tiles(
    kept: CompiledProgram, drawn: Parts, flow: Sequence[Node], errors: Mapping[str, float]
) -> Graph:
    inputs = {matrix.name: _activation_id(matrix) for matrix in kept.program.analog}
    parts = [
        Node(
            part.id,
            part.label,
            part.namespace,
            {"matrix": part.matrix, **part.attributes, **_error(part.matrix, errors)},
            (inputs[part.matrix],),
            _ANALOG,
        )
        for part in drawn.parts
    ]
    of_matrix: dict[str, list[str]] = {}
    for part in drawn.parts:
        of_matrix.setdefault(part.matrix, []).append(part.id)
    around = [
        replace(
            node,
            label=f"sum of {node.label}" if node.id in of_matrix else node.label,
            namespace="/".join(filter(None, ("digital", node.namespace))),
            sources=of_matrix.get(node.id, node.sources),
            colour=_DIGITAL,
        )
        for node in flow
    ]
    groups = {"": {**_about(kept), "drawn": drawn.rule}, **drawn.groups}
    names = {part.id: part.matrix for part in drawn.parts}
    use = {part.id: part.use for part in drawn.parts}
    return Graph(TILES, [*around, *parts], groups, names, use)


def _flow(program: Program, drawn: Parts, errors: Mapping[str, float]) -> Iterator[Node]:
    """Where it starts, activations, and matrices."""
    readers: dict[str, list[Matrix]] = {}
    for matrix in program.matrices:
        readers.setdefault(_activation_id(matrix), []).append(matrix)
    what = "tokens" if program.model.unit == "token" else "samples"
    yield Node(_START, what, colour=_DIGITAL)
    for activation, matrices in readers.items():
        path, _, operation = matrices[0].input.rpartition(":")
        sources = dict.fromkeys(source for each in matrices for source in each.sources)
        about = {
            "input of": ", ".join(matrix.name for matrix in matrices),
            "computed digitally from": ", ".join(sources) or what,
        }
        place = "/".join(path.split("."))
        yield Node(activation, operation, place, about, tuple(sources) or (_START,), _DIGITAL)
    work: dict[str, list[str]] = {}
    for each in program.work:
        work.setdefault(each.after, []).append(each.kind)
    for matrix in program.matrices:
        *parents, last = matrix.name.removesuffix(".weight").split(".")
        yield Node(
            matrix.name,
            last,
            "/".join(parents),
            {
                **_described(matrix, program),
                **drawn.of_matrix.get(matrix.name, {}),
                **({"digital work after it": ", ".join(work[matrix.name])} if matrix.name in work
                   else {}),
                **_error(matrix.name, errors),
            },
            (_activation_id(matrix),),
            _DIGITAL if matrix.name in (program.digital or {}) else _ANALOG,
        )  # fmt: skip


def _activation_id(matrix: Matrix) -> str:
    return f"input {matrix.input}"


def _described(matrix: Matrix, program: Program) -> dict[str, str]:
    reason = (program.digital or {}).get(matrix.name)
    found = {
        "parameter": matrix.name,
        "inputs x outputs": f"{matrix.rows:,} x {matrix.cols:,}",
        "where": "on tiles" if reason is None else f"digital: {reason}",
        f"uses {ONE[program.model.unit]}": count(matrix.per_token),
    }
    if matrix.copies > 1:
        found["experts"] = f"{matrix.copies:,}"
    if matrix.input_range is not None:
        ranges = matrix.slice_ranges or (matrix.input_range,)
        found["input range"] = ", ".join(f"{each:.4g}" for each in ranges)
    return found


def _error(matrix: str, errors: Mapping[str, float]) -> dict[str, str]:
    known = errors.get(matrix)
    return {} if known is None else {"relative error of products": percent(known, 2)}


def _about(kept: CompiledProgram) -> dict[str, str]:
    program, target = kept.program, kept.target
    assert program.allocation is not None
    return {
        "model": program.model.name,
        "weights": f"{program.model.parameters:,}",
        "target": target.name,
        "crossbar": f"{target.crossbar.rows:,} x {target.crossbar.columns:,} weights",
        "rule": program.allocation.rule,
        "tiles": f"{program.allocation.tiles:,}, at least {program.allocation.lower_bound:,}",
        "chips": "" if program.placing is None else f"{program.placing.chips:,}",
    }
