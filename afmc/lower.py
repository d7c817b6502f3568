"""The compiled model as something that runs: the original module, or the exported graph, on tiles.

Both hold the same `TileLinear` objects, so both compute the same products.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec

from afmc.errors import ModelError
from afmc.frontends.matrices import find_products
from afmc.ir import Matrix, Program
from afmc.simulator.devices import device_of
from afmc.simulator.layer import TileLinear
from afmc.simulator.random import Address
from afmc.simulator.tiles import Piece, Programmed, program
from afmc.targets import Target

Tiles = Mapping[str, TileLinear]
_bound: ContextVar[Tiles | None] = ContextVar("afmc_tiles", default=None)


@torch.library.custom_op("afmc::mvm", mutates_args=())
def mvm(x: Tensor, matrix: str, cols: int) -> Tensor:
    """The product of `x` with a matrix on tiles, [..., rows] to [..., cols], without its bias.

    Which tiles these are is decided where the graph runs: inside `bind_tiles`.
    """
    tiles = _bound.get()
    if tiles is None:
        raise RuntimeError(
            "afmc::mvm has no tiles: run the graph with afmc.load(DIR).graph(), or inside "
            "afmc.lower.bind_tiles(...)"
        )
    return tiles[matrix].multiply(x).clone()


@mvm.register_fake
def _(x: Tensor, matrix: str, cols: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], cols)


@contextmanager
def bind_tiles(tiles: Tiles) -> Iterator[None]:
    """Within it, `afmc::mvm` multiplies on these tiles."""
    token = _bound.set(tiles)
    try:
        yield
    finally:
        _bound.reset(token)


def make_tiles(module: nn.Module, program: Program, target: Target) -> dict[str, TileLinear]:
    """A layer of tiles, not yet written, for every analog matrix."""
    tiles = {}
    for matrix in program.analog:
        try:
            layer = module.get_submodule(matrix.module)
        except AttributeError as error:
            raise ModelError(
                f"the model has no module {matrix.module!r}, which the program has; compile again."
            ) from error
        tiles[matrix.name] = TileLinear.unwritten(
            layer.weight,  # type: ignore[arg-type]  # partition leaves only Linear and Conv1D
            layer.bias,  # type: ignore[arg-type]
            target,
            matrix.input_range,
            transposed=matrix.stored == "rows_cols",
        )
    return tiles


def on_tiles(module: nn.Module, program: Program, tiles: Tiles) -> nn.Module:
    """The module with its analog layers replaced; it shares all parameters with the original."""
    shared = [*module.parameters(), *module.buffers()]
    twin = copy.deepcopy(module, {id(tensor): tensor for tensor in shared})
    by_weight = {id(layer.weight): layer for layer in tiles.values()}
    kinds = {matrix.layer for matrix in program.analog}
    for path, layer in list(twin.named_modules(remove_duplicate=False)):
        if full_name_of(type(layer)) in kinds and id(getattr(layer, "weight", None)) in by_weight:
            parent, _, name = path.rpartition(".")
            setattr(twin.get_submodule(parent), name, by_weight[id(layer.weight)])
    return twin


def full_name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def write_instance(
    program_: Program, target: Target, tiles: Tiles, *, seed: int, instance: int
) -> None:
    """Programs one manufactured instance: every draw that is made once, onto all tiles."""
    device = device_of(target)
    pieces = _pieces(program_)
    maxima = _crossbar_maxima(program_, target, tiles, pieces)
    for index, group in enumerate(program_.groups):
        members = [program_.matrix(name) for name in group.members]
        weights = [_in_linear_order(tiles[m.name], m) for m in members]
        together = weights[0] if len(weights) == 1 else torch.cat(weights)
        written = program(
            together,
            pieces[index],
            target,
            device,
            seed=seed,
            instance=instance,
            crossbar_max=maxima,
        )
        first = 0
        for matrix in members:
            columns = slice(first, first + matrix.cols)
            part = Programmed(written.weight[columns], written.slices, written.w_max[:, columns])
            tiles[matrix.name].write(part)
            first += matrix.cols


def _in_linear_order(tile: TileLinear, matrix: Matrix) -> Tensor:
    weight = tile.weight.detach()
    return weight.T if matrix.stored == "rows_cols" else weight


def _pieces(program_: Program) -> list[list[Piece]]:
    """The pieces of every group, from the tables."""
    placed = program_.placements[np.argsort(program_.placements["block"], kind="stable")]
    blocks = program_.blocks[placed["block"]]
    pieces: list[list[Piece]] = [[] for _ in program_.groups]
    for block, place in zip(blocks.tolist(), placed.tolist(), strict=True):
        group, _, row, col, rows, cols = block
        pieces[group].append(Piece(row, col, rows, cols, Address(*place[1:])))
    return pieces


def _crossbar_maxima(
    program_: Program, target: Target, tiles: Tiles, pieces: list[list[Piece]]
) -> dict[tuple[int, int, int], float] | None:
    """The largest weight on each crossbar, where the target scales by the crossbar."""
    if target.device.scale == "column" and target.output.range == "column":
        return None
    maxima: dict[tuple[int, int, int], float] = {}
    for index, group in enumerate(program_.groups):
        members = [program_.matrix(name) for name in group.members]
        weight = torch.cat([_in_linear_order(tiles[m.name], m) for m in members])
        for piece in pieces[index]:
            largest = float(piece.of(weight).abs().amax())
            maxima[piece.crossbar] = max(maxima.get(piece.crossbar, 0.0), largest)
    return maxima


def lower_graph(exported: ExportedProgram, program_: Program) -> ExportedProgram:
    """The exported graph with `afmc::mvm` in the place of every analog product.

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
            arguments = (product.activation, product.matrix, cols)
            result = inside.call_function(torch.ops.afmc.mvm.default, arguments)
            result.meta = dict(node.meta)
            if product.bias is not None:
                result = inside.call_function(torch.ops.aten.add.Tensor, (result, product.bias))
                result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        signature.replace_all_uses(node.name, result.name)
        graph.erase_node(node)
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


def save_graph(graph: ExportedProgram, path: Path) -> None:
    """Writes a graph for other tools; afmc itself exports anew and never reads it.

    torch.export.load runs code that a prepared archive names, so that a graph is only as
    trustworthy as the folder that it comes from.
    """
    buffer = io.BytesIO()  # torch's own file writer ends the process when a disk is full
    torch.export.save(graph, buffer)
    path.write_bytes(buffer.getbuffer())
