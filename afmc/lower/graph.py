"""The exported graph with its analog products as calls of tiles."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec
from torch.fx import Node

from afmc.frontends.graph.matrices import find_products
from afmc.frontends.graph.sources import drop_sources
from afmc.program.program import Program


def lower_graph(exported: ExportedProgram, program_: Program) -> ExportedProgram:
    """The exported graph with `afmc::mvm` in the place of every analog product, and
    `afmc::grouped_mvm` in that of a bank's.

    Weights that only tiles read are no longer part of it; biases are added digitally. Takes over
    the graph of `exported`, which must not be used afterwards.
    """
    graph_module = exported.graph_module
    graph, signature = graph_module.graph, exported.graph_signature
    analog = {matrix.name: matrix for matrix in program_.analog}
    for product in find_products(exported):
        if product.matrix not in analog:
            continue
        node, cols = product.node, analog[product.matrix].cols
        inside = node.graph  # of the program, or of a region such as autocast
        with inside.inserting_before(node):
            ends = () if product.ends is None else (product.ends,)
            operator = torch.ops.afmc.grouped_mvm if ends else torch.ops.afmc.mvm
            arguments = (product.activation, *ends, product.matrix, cols)
            result = inside.call_function(operator.default, arguments)
            result.meta = dict(node.meta)
            if product.bias is not None:
                result = inside.call_function(torch.ops.aten.add.Tensor, (result, product.bias))
                result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        signature.replace_all_uses(node.name, result.name)
        operands = node.all_input_nodes
        graph.erase_node(node)
        _erase_unread(operands)
    unread = {n.name for n in graph.nodes if n.op == "placeholder" and not n.users}
    kept: list[InputSpec] = []
    dropped: list[InputSpec] = []
    for spec in signature.input_specs:
        weight = spec.kind is InputKind.PARAMETER and spec.arg.name in unread
        (dropped if weight else kept).append(spec)
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in {spec.arg.name for spec in dropped}:
            graph.erase_node(node)
    for module in graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            module.recompile()
    gone = {spec.target for spec in dropped}
    return ExportedProgram(
        root=graph_module,
        graph=graph,
        graph_signature=ExportGraphSignature(kept, signature.output_specs),
        state_dict={k: v for k, v in exported.state_dict.items() if k not in gone},
        range_constraints=exported.range_constraints,
        module_call_graph=exported.module_call_graph,
        example_inputs=None,  # torch would pickle them
        constants=exported.constants,
        verifiers=exported.verifiers,
    )


def _erase_unread(nodes: Iterable[Node]) -> None:
    """What only rearranged a weight that is no longer read."""
    for node in nodes:
        if node.op == "call_function" and not node.users:
            operands = node.all_input_nodes
            node.graph.erase_node(node)
            _erase_unread(operands)


def save_graph(graph: ExportedProgram, path: Path) -> None:
    """Writes a graph for other tools, without paths of this machine.

    afmc itself exports anew and never reads it.

    torch.export.load runs code that a prepared archive names, so that a graph is only as
    trustworthy as the folder that it comes from.
    """
    drop_sources(graph)
    buffer = io.BytesIO()  # torch's own file writer ends the process when a disk is full
    torch.export.save(graph, buffer)
    path.write_bytes(buffer.getbuffer())
