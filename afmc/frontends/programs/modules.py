"""Torch modules with example inputs, and exported programs, as graphs whose products are layers.

Every product with a matrix becomes an ``nn.Linear`` in a graph module, one with the windows of a
convolution before it and its places behind it, so that tiles can stand in for any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, TensorArgument
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from afmc.data.samples import Input
from afmc.errors import ModelError
from afmc.frontends.graph.matrices import Product, find_matrices, find_products
from afmc.frontends.graph.windows import fold, unfold
from afmc.frontends.in_memory import from_module
from afmc.frontends.loaded import Loaded, cause_of, check_finite, sha256_of_tensors
from afmc.frontends.network import Graph
from afmc.frontends.programs.pt2 import read, write
from afmc.frontends.quiet import quiet
from afmc.program.model import Matrix

FILE = "model.pt2"
"""Name of the file that is written."""

_LINEAR = "torch.nn.modules.linear.Linear"


def from_example(module: nn.Module, example: Sequence[Tensor], name: str | None = None) -> Loaded:
    """A module of one's own, as what it computes on inputs like these; it is not changed.

    The first dimension of every input counts samples. Raises ModelError, in one sentence, for a
    module that cannot be exported.
    """
    taken = from_module(module, name=name)
    few = tuple(torch.cat((each, each))[:2].contiguous() for each in example)  # 1 is a constant
    exported = _export(taken.module, few, ({0: Dim.AUTO},) * len(few), taken.name)
    loaded = _loaded(exported, type(taken.module).__name__, taken.name, taken.sha256, None)
    assert loaded.graph is not None
    ranges = {
        matrix.module: taken.input_ranges[layer]
        for matrix in loaded.graph.structure(None).matrices
        if (layer := matrix.name.removesuffix(".weight")) in taken.input_ranges
    }
    return replace(loaded, input_ranges=ranges, training=taken.training)


def from_file(path: Path, name: str) -> Loaded:
    """A .pt2 file, of which nothing is run but known operators. Raises ModelError."""
    archive = read(path)
    sizes = tuple({place: Dim.AUTO for place in free} for free in archive.dynamic)
    exported = _export(archive.module, archive.example, (sizes,), name)
    loaded = _loaded(exported, "ExportedProgram", name, archive.sha256, path)
    assert loaded.graph is not None
    pairs = zip(loaded.graph.inputs, archive.inputs, strict=True)
    inputs = tuple(replace(each, name=as_stored) for each, as_stored in pairs)
    return replace(loaded, graph=replace(loaded.graph, inputs=inputs))


def _export(
    module: nn.Module, example: tuple[Tensor, ...], sizes: tuple[Any, ...], name: str
) -> ExportedProgram:
    try:
        # Without gradients the graph has no regions that switch them off.
        with quiet(), torch.no_grad():
            return torch.export.export(module, example, dynamic_shapes=sizes, strict=False)
    except Exception as error:  # torch.export lets through what the module raises
        raise ModelError(
            f"{name} cannot be exported by torch.export: {cause_of(error)}."
        ) from error


def from_program(exported: ExportedProgram, name: str = "exported program") -> Loaded:
    """A program that the user has exported. Raises ModelError for what a chip cannot be."""
    tensors = {**exported.state_dict, **exported.constants}
    sha256 = sha256_of_tensors(
        [(key, each) for key, each in tensors.items() if isinstance(each, Tensor)], name
    )
    return _loaded(exported, "ExportedProgram", name, sha256, None)


def _loaded(
    exported: ExportedProgram, architecture: str, name: str, sha256: str, path: Path | None
) -> Loaded:
    _check(exported, name)
    structure = find_matrices(exported, "inference")
    module, matrices = _with_layers(exported, structure.matrices, name)
    check_finite(dict(module.named_parameters()), name)
    found = structure._replace(matrices=matrices)
    graph = Graph(
        architecture=architecture,
        inputs=_inputs(exported, name),
        structure=lambda samples: found,
        write=lambda folder: _write(exported, folder),
    )
    return Loaded(module, None, None, name, sha256, path, graph=graph)


def _write(exported: ExportedProgram, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write(exported, folder / FILE)


def _check(exported: ExportedProgram, name: str) -> None:
    signature = exported.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        raise ModelError(
            f"{name} changes its buffers or inputs while it runs: call .eval() before exporting."
        )
    for node in exported.graph.nodes:
        if isinstance(node.target, OpOverload) and _is_training(node, node.target):
            raise ModelError(
                f"{name} was exported in training mode ({node.name} updates or draws something): "
                f"call .eval() before exporting."
            )
    for key, tensor in exported.state_dict.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"{name} has {kind} weights, first {key}: call .float() before exporting."
            )


def _is_training(node: Node, operator: OpOverload) -> bool:
    """Whether a flag of the operation says so, as that of batch_norm and dropout."""
    names = [each.name for each in operator._schema.arguments]
    said = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return any(said.get(flag) is True for flag in ("train", "training"))


def _inputs(exported: ExportedProgram, name: str) -> tuple[Input, ...]:
    values = {n.name: n.meta["val"] for n in exported.graph.nodes if n.op == "placeholder"}
    found = []
    for spec in exported.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            continue
        value = values.get(spec.arg.name)
        if not isinstance(spec.arg, TensorArgument) or not isinstance(value, Tensor):
            raise ModelError(f"the input {spec.arg.name!r} of {name} is no tensor.")
        if not value.ndim:
            raise ModelError(
                f"the input {spec.arg.name!r} of {name} has no dimension that counts samples."
            )
        sizes = tuple(None if isinstance(size, torch.SymInt) else size for size in value.shape)
        dtype: np.dtype[Any] = torch.empty(0, dtype=value.dtype).numpy().dtype
        found.append(Input(spec.arg.name, dtype, sizes))
    if not found:
        raise ModelError(f"{name} has no input.")
    return tuple(found)


def _with_layers(
    exported: ExportedProgram, matrices: Sequence[Matrix], name: str
) -> tuple[GraphModule, tuple[Matrix, ...]]:
    """The graph with a layer for every matrix, at the path that the matrix then names."""
    products: dict[str, list[Product]] = {}
    for product in find_products(exported, "inference"):
        products.setdefault(product.matrix, []).append(product)
    module = exported.module(check_guards=False)
    nodes = {node.name: node for node in module.graph.nodes}
    paths = {matrix.name: matrix.name.removesuffix(".weight") for matrix in matrices}
    changed = []
    for matrix in sorted(matrices, key=lambda each: each.name.count(".")):  # folders come first
        uses = products[matrix.name]
        if matrix.copies > 1 or any(use.node.graph is not exported.graph for use in uses):
            changed.append(replace(matrix, layer="a region of the graph"))
            continue
        path = paths[matrix.name]
        if any(path.startswith(f"{each}.") for each in paths.values()):
            path = path.replace(".", "_")  # a layer that is replaced takes what is below it along
        original = module.get_parameter(matrix.name)
        _place(module, path, _layer(matrix, exported.state_dict))
        for use in uses:
            _put(use, nodes[use.node.name], path, module)
        _keep_readers(module, matrix.name, original)
        changed.append(replace(matrix, module=path, layer=_LINEAR, stored="cols_rows"))
    module.graph.set_codegen(CodeGen())  # tensors in, the values out that there are
    output = module.graph.output_node()
    if isinstance(output.args[0], (tuple, list)) and len(output.args[0]) == 1:
        output.args = (output.args[0][0],)
    order = {matrix.name: place for place, matrix in enumerate(matrices)}
    return GraphModule(module, module.graph), tuple(
        sorted(changed, key=lambda each: order[each.name])
    )


def _layer(matrix: Matrix, tensors: Mapping[str, Tensor]) -> nn.Linear:
    weight = tensors[matrix.name].detach()
    weight = weight.T if matrix.stored == "rows_cols" else weight.flatten(1)
    layer = nn.Linear(matrix.rows, matrix.cols, bias=matrix.bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if matrix.bias is not None:
        layer.bias = nn.Parameter(tensors[matrix.bias].detach(), requires_grad=False)
    return layer


def _put(use: Product, node: Node, path: str, module: GraphModule) -> None:
    """The layer in the place of a node."""
    graph = module.graph
    activation = node.args[use.node.args.index(use.activation)]
    assert isinstance(activation, Node)
    with graph.inserting_before(node):
        if use.windows is None:
            result = graph.call_module(path, (activation,))
        else:
            said = dict(vars(use.windows))
            vectors = graph.call_function(unfold, (activation,), said)
            product = graph.call_module(path, (vectors,))
            result = graph.call_function(fold, (product, activation), said)
        result.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    operands = node.all_input_nodes
    graph.erase_node(node)
    _erase_unread(operands)


def _erase_unread(nodes: Sequence[Node]) -> None:
    """What only brought a weight to a product."""
    for node in nodes:
        if node.op in ("call_function", "get_attr") and not node.users:
            operands = node.all_input_nodes
            node.graph.erase_node(node)
            _erase_unread(operands)


def _keep_readers(module: GraphModule, name: str, weight: nn.Parameter) -> None:
    """What else reads the weight reads it in its own shape."""
    kept = f"_{name.replace('.', '_')}_as_stored"
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.target == name:
            module.register_parameter(kept, weight)
            node.target = kept


def _place(module: nn.Module, path: str, layer: nn.Module) -> None:
    """A layer at a path, with whatever else is there."""
    parent_path, _, name = path.rpartition(".")
    parent = module.get_submodule(parent_path)
    before = getattr(parent, name, None)
    if isinstance(before, nn.Module):
        for key, parameter in before._parameters.items():
            if key not in layer._parameters:
                layer.register_parameter(key, parameter)
        for key, buffer in before._buffers.items():
            layer.register_buffer(key, buffer)
        for key, child in before._modules.items():
            layer.add_module(key, child)
    elif before is not None:  # the parameter itself
        delattr(parent, name)
    setattr(parent, name, layer)
