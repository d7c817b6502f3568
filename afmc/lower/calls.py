"""The graph of a model that is no language model, with calls in the place of analog products."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from afmc.errors import ModelError
from afmc.frontends.loaded import cause_of
from afmc.frontends.network import Graph
from afmc.frontends.quiet import quiet
from afmc.program.program import Program

_ANY = 3
"""A size of the example where any will do; 1 would be taken for a constant."""


class _Call(nn.Module):
    """A layer whose product is on tiles, and whose bias is added digitally."""

    bias: Tensor | None

    def __init__(self, matrix: str, cols: int, bias: Tensor | None) -> None:
        super().__init__()
        self.matrix, self.cols = matrix, cols
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.afmc.mvm(x, self.matrix, self.cols)
        return y if self.bias is None else y + self.bias


def export_calls(module: nn.Module, program: Program, graph: Graph) -> ExportedProgram:
    """From the inputs to the output, with ``afmc::mvm`` for every analog product.

    Raises ModelError for a graph that torch does not run, as one that came from ONNX, or that it
    cannot export.
    """
    name = program.model.name
    if not isinstance(module, torch.fx.GraphModule):
        raise ModelError(
            f"{name} is an ONNX graph, whose digital part onnx runs: to lower it, export the "
            f"network with torch.export.save and compile that .pt2 file."
        )
    shared = [*module.parameters(), *module.buffers()]
    twin = copy.deepcopy(module, {id(tensor): tensor for tensor in shared})
    for matrix in program.analog:
        layer = twin.get_submodule(matrix.module)
        parent, _, leaf = matrix.module.rpartition(".")
        bias = layer.bias if isinstance(layer.bias, Tensor) else None
        setattr(twin.get_submodule(parent), leaf, _Call(matrix.name, matrix.cols, bias))
    examples, free = [], []
    for each in graph.inputs:
        sizes = each.sizes or (None,)
        dtype = torch.from_numpy(torch.zeros(0).numpy().astype(each.dtype)).dtype
        examples.append(torch.zeros([size or _ANY for size in sizes], dtype=dtype))
        free.append({place: Dim.AUTO for place, size in enumerate(sizes) if size is None})
    try:
        with quiet(), torch.no_grad():
            exported = torch.export.export(
                twin, tuple(examples), dynamic_shapes=tuple(free), strict=False
            )
    except Exception as error:  # torch.export lets through what the module raises
        raise ModelError(
            f"{name} cannot be exported by torch.export: {cause_of(error)}."
        ) from error
    values = {n.name: n.meta["val"] for n in exported.graph.nodes if n.op == "placeholder"}
    for input_name, places in zip(exported.graph_signature.user_inputs, free, strict=True):
        for place in places:
            if not isinstance(values[str(input_name)].shape[place], torch.SymInt):
                raise ModelError(
                    f"{name} cannot be lowered for any number of samples: torch.export fixes "
                    f"dimension {place} of its input {input_name!r}."
                )
    return exported
