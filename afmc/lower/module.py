"""The compiled model as something that runs: the original module, or the exported graph, on tiles.

Both hold the same `TileLinear` objects, so both compute the same products.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from afmc.errors import ModelError
from afmc.lower.prepared import preparations
from afmc.program.model import Matrix, is_bank, names_in_tiles
from afmc.program.program import Program
from afmc.simulator.experts import Bank, GroupedExperts, TileBank, banks_of
from afmc.simulator.replicas import Layer, Replicas, Tiles
from afmc.simulator.tile_linear import TileLinear
from afmc.targets import Target


def make_tiles(module: nn.Module, program: Program, target: Target) -> dict[str, Layer]:
    """A layer of tiles, not yet written, for every copy of every analog matrix."""
    tiles: dict[str, Layer] = {}
    prepared = preparations(program)
    replicas = {
        name: group.replicas or (1,) * group.copies
        for group in program.groups
        for name in group.members
    }
    for matrix in program.analog:
        try:
            weights, biases = _tensors(module, matrix)
        except AttributeError as error:
            raise ModelError(
                f"the model has no module {matrix.module!r}, which the program has; compile again."
            ) from error
        names, times = names_in_tiles(matrix), replicas[matrix.name]
        for name, weight, bias, count in zip(names, weights, biases, times, strict=True):
            layers = [
                TileLinear.unwritten(
                    weight,
                    bias,
                    target,
                    matrix.slice_ranges or matrix.input_range,
                    transposed=matrix.stored == "rows_cols",
                    preparation=prepared[matrix.name],
                )
                for _ in range(count)
            ]
            tiles[name] = layers[0] if count == 1 else Replicas(layers, averaged=program.averaged)
    return tiles


def _tensors(module: nn.Module, matrix: Matrix) -> tuple[Iterable[Tensor], Iterable[Tensor | None]]:
    """Weight and bias of every copy."""
    if is_bank(matrix):
        weights = module.get_parameter(matrix.name).detach()
        biases = module.get_parameter(matrix.bias).detach() if matrix.bias else None
        return weights, [None] * matrix.copies if biases is None else biases
    layer = module.get_submodule(matrix.module)
    return [layer.weight], [layer.bias]  # type: ignore[list-item]  # Linear and Conv1D have both


def on_tiles(module: nn.Module, program: Program, tiles: Tiles) -> nn.Module:
    """The module with its analog layers replaced; it shares all parameters with the original."""
    twin = grouped(module, program.matrices, tiles)
    by_weight = {id(layer.weight): layer for layer in tiles.values()}
    kinds = {matrix.layer for matrix in program.analog}
    for path, layer in list(twin.named_modules(remove_duplicate=False)):
        if full_name_of(type(layer)) in kinds and id(getattr(layer, "weight", None)) in by_weight:
            parent, _, name = path.rpartition(".")
            setattr(twin.get_submodule(parent), name, by_weight[id(layer.weight)])
    return twin


def grouped(
    module: nn.Module,
    matrices: Sequence[Matrix],
    tiles: Tiles,
    values: Callable[[nn.Parameter], Bank] = lambda bank: bank,
) -> nn.Module:
    """The module with its experts as a product of banks: on tiles those that are there, and in
    digital arithmetic the others. It shares all parameters with the original; `values` gives what a
    bank holds for each expert.
    """
    twin = twin_of(module)
    banks: dict[str, dict[str, nn.Module]] = {}
    for matrix in filter(is_bank, matrices):
        path, _, parameter = matrix.name.rpartition(".")
        mine = banks.setdefault(path, banks_of(module.get_submodule(path), values))
        names = names_in_tiles(matrix)
        if names[0] in tiles:
            mine[parameter] = TileBank([tiles[name] for name in names])
    for path, of_module in banks.items():
        parent, _, name = path.rpartition(".")
        experts = GroupedExperts(twin.get_submodule(path), of_module)
        setattr(twin.get_submodule(parent), name, experts)
    return twin


def twin_of(module: nn.Module) -> nn.Module:
    """A copy of the module that shares all its parameters and buffers."""
    shared = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in shared})


def bank_path(matrix: Matrix) -> str:
    """Path of the module in `grouped` that multiplies by a bank."""
    path, _, parameter = matrix.name.rpartition(".")
    return f"{path}.banks.{parameter}"


def full_name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
