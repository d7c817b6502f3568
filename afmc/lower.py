"""The compiled model as something that runs: the original module, or the exported graph, on tiles.

Both hold the same `TileLinear` objects, so both compute the same products.
"""

from __future__ import annotations

import copy
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec
from torch.fx import Node

from afmc.conditions import Condition, format_time
from afmc.defect_map import Crossbar, DefectMap
from afmc.defects import ALL, Defects
from afmc.errors import ModelError, OptionError
from afmc.frontends.matrices import find_products
from afmc.ir import Matrix, Program
from afmc.passes.partition import is_bank
from afmc.simulator.cells import streams_of, write
from afmc.simulator.correction import Correction
from afmc.simulator.device import device_of
from afmc.simulator.experts import Bank, GroupedExperts, TileBank, banks_of, by_expert
from afmc.simulator.faults import Faults
from afmc.simulator.layer import TileLinear
from afmc.simulator.lines import Lines
from afmc.simulator.random import Address, generator_at
from afmc.simulator.replicas import Layer, Replicas, replicas_of
from afmc.simulator.tiles import FRESH, Piece, program
from afmc.targets import Target, load_target

Tiles = Mapping[str, Layer]
Weights = Mapping[str, Tensor]
"""What tiles are to hold, [outputs, inputs], by name in `Tiles`."""

# Numbers of a group, a copy and a replica, as in the table of blocks.
Owner = tuple[int, int, int]
_bound: ContextVar[Tiles | None] = ContextVar("afmc_tiles", default=None)


@torch.library.custom_op("afmc::mvm", mutates_args=())
def mvm(x: Tensor, matrix: str, cols: int) -> Tensor:
    """The product of `x` with a matrix on tiles, [..., rows] to [..., cols], without its bias.

    Which tiles these are is decided where the graph runs: inside `bind_tiles`.
    """
    return _bound_to("afmc::mvm")[matrix].multiply(x).clone()


@mvm.register_fake
def _(x: Tensor, matrix: str, cols: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], cols)


@torch.library.custom_op("afmc::grouped_mvm", mutates_args=())
def grouped_mvm(x: Tensor, ends: Tensor, matrix: str, cols: int) -> Tensor:
    """The same for a bank of experts: rows [rows, inputs] sorted by expert, of which up to row
    ``ends[e]`` are those of the experts up to e, to [rows, cols].
    """
    tiles = _bound_to("afmc::grouped_mvm")
    return by_expert(x, ends, cols, lambda e, rows: tiles[expert_name(matrix, e)].multiply(rows))


@grouped_mvm.register_fake
def _(x: Tensor, ends: Tensor, matrix: str, cols: int) -> Tensor:
    return x.new_empty(x.shape[0], cols)


def _bound_to(operator: str) -> Tiles:
    tiles = _bound.get()
    if tiles is None:
        raise RuntimeError(
            f"{operator} has no tiles: run the graph with afmc.load(DIR).graph(), or inside "
            f"afmc.lower.bind_tiles(...)"
        )
    return tiles


@contextmanager
def bind_tiles(tiles: Tiles) -> Iterator[None]:
    """Within it, `afmc::mvm` and `afmc::grouped_mvm` multiply on these tiles."""
    token = _bound.set(tiles)
    try:
        yield
    finally:
        _bound.reset(token)


def expert_name(bank: str, expert: int) -> str:
    """Name in `Tiles` of one expert's layer: ``layers.0.mlp.experts.down_proj[3]``."""
    return f"{bank}[{expert}]"


def names_in_tiles(matrix: Matrix) -> list[str]:
    """Names in `Tiles` of the layers that hold a matrix, by copy."""
    if is_bank(matrix):
        return [expert_name(matrix.name, expert) for expert in range(matrix.copies)]
    return [matrix.name]


def make_tiles(module: nn.Module, program: Program, target: Target) -> dict[str, Layer]:
    """A layer of tiles, not yet written, for every copy of every analog matrix."""
    tiles: dict[str, Layer] = {}
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
                )
                for _ in range(count)
            ]
            tiles[name] = layers[0] if count == 1 else Replicas(layers)
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
    shared = [*module.parameters(), *module.buffers()]
    twin = copy.deepcopy(module, {id(tensor): tensor for tensor in shared})
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


def bank_path(matrix: Matrix) -> str:
    """Path of the module in `grouped` that multiplies by a bank."""
    path, _, parameter = matrix.name.rpartition(".")
    return f"{path}.banks.{parameter}"


def full_name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def write_instance(
    program_: Program,
    target: Target,
    tiles: Tiles,
    *,
    seed: int,
    instance: int,
    condition: Condition = FRESH,
    defects: Defects | None = None,
) -> None:
    """Programs one manufactured instance and lets time pass: every draw that is made once.

    `defects` have come up since the program was made for those that it knows. With probes in the
    condition, columns are measured just after programming and corrected.
    """
    writer = _Writer(program_, target, tiles, seed, instance, defects)
    corrections: dict[tuple[str, int], Correction] = {}
    if condition.probes:
        writer.write(FRESH, {})
        for name, layer in tiles.items():
            for number, replica in enumerate(replicas_of(layer)):
                draws = writer.generator(name, number, "probes")
                corrections[name, number] = replica.measure(condition.probes, draws)
    writer.write(condition, corrections)


def check_conditions(target: Target, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """Conditions that leave the target's devices as they were when programmed, in sentences.

    Raises TargetError, in the device model's sentence, where it does not know a condition.
    """
    device = device_of(target)
    if device is None:
        return ()
    streams = streams_of(0, 0, Address(0, 0, 0, 0, 0))
    some = torch.linspace(-1, 1, 9).unsqueeze(0)
    written = write(some, torch.ones(1), target, device, streams)
    plain = load_target(target, {"device.read_noise": "none"})
    fresh = written.at(plain, device, FRESH, streams)
    unchanged: list[str] = []
    for condition in conditions:
        for alone, text in (
            (Condition(at_s=condition.at_s), f"after {format_time(condition.at_s)}"),
            (
                Condition(temperature_C=condition.temperature_C),
                f"at {condition.temperature_C:g} C",
            ),
        ):
            states = written.at(plain, device, alone, streams)
            same = all(torch.equal(s.mean, f.mean) for s, f in zip(states, fresh, strict=True))
            if alone != FRESH and same and text not in unchanged:
                unchanged.append(text)
        written.at(target, device, condition, streams)
    if not unchanged:
        return ()
    name = type(device).__name__
    return (f"by its model, {name} is {', '.join(unchanged)} what it was just programmed",)


def check_defects(program_: Program, target: Target, defects: Defects) -> str:
    """How many entries of a map that the program was not made for are about cells of some block.

    Raises OptionError when none is, or when a block is on something that is dead.
    """
    broken, total = DefectMap(defects, target), len(defects.stuck)
    chips = np.unique(program_.placements["chip"])
    dead = broken.crossbars(chips.astype(np.int64))["dead"]
    number = dict(zip(chips.tolist(), range(len(chips)), strict=True))
    hit = np.zeros(total, np.bool_)
    for piece in chain.from_iterable(pieces_of(program_, target).values()):
        chip, tile, tier = piece.crossbar
        lines = (piece.lines.rows, piece.lines.cols)
        alive = zip(lines, broken.live_lines(piece.crossbar), strict=True)
        if dead[number[chip], tile, tier] or not all(np.isin(*each).all() for each in alive):
            raise OptionError(
                f"by {defects.name} a block is on something dead (on tier {tier} of tile {tile} "
                f"of chip {chip}): compile again with this map and --keep."
            )
        numbers, entries = broken.entries_at(piece.crossbar)
        here = np.ones(len(numbers), np.bool_)
        for key, own in zip(("row", "column"), lines, strict=True):
            here &= np.isin(entries[key], own) | (entries[key] == ALL)
        hit[numbers[here]] = True
    if defects.rates is not None and defects.rates.cells:
        return f"cells stick besides by the random map {defects.rates}"
    if not hit.any():
        raise OptionError(
            f"none of the {total} lines of {defects.name} is about a cell that holds a weight of "
            f"this mapping."
        )
    return f"{int(hit.sum())} of {total} lines of {defects.name} are about cells that hold weights"


class _Writer:
    """One instance of a program's tiles."""

    def __init__(
        self,
        program_: Program,
        target: Target,
        tiles: Tiles,
        seed: int,
        instance: int,
        defects: Defects | None,
    ) -> None:
        self.program, self.target, self.tiles = program_, target, tiles
        self.seed, self.instance = seed, instance
        self.device = device_of(target)
        self.faults = faults_of(program_, target, defects)
        self.pieces = pieces_of(program_, target)
        ideal = {name: layer.ideal for name, layer in tiles.items()}
        self.maxima = crossbar_maxima(program_, target, ideal, self.pieces)
        self.place = {
            (name, replica): pieces[0].address
            for (group, copy_, replica), pieces in self.pieces.items()
            for name in members_of(program_, group, copy_)
        }

    def generator(self, layer: str, replica: int, purpose: str) -> torch.Generator:
        """For draws that belong to a replica of a layer as a whole, at its first block."""
        place = self.place[layer, replica]
        return generator_at(self.seed, self.instance, place, f"{purpose} {layer}")

    def write(
        self, condition: Condition, corrections: Mapping[tuple[str, int], Correction]
    ) -> None:
        """All replicas of all copies of all groups, the largest first, one a core at a time."""
        largest_first = sorted(self.pieces, key=lambda which: -len(self.pieces[which]))
        cores = torch.get_num_threads()

        def write(owner: Owner) -> None:
            self._write(owner, condition, corrections)

        try:
            # Blocks are too small to share: each thread works by itself, on a replica.
            with ThreadPoolExecutor(cores, "tiles", torch.set_num_threads, (1,)) as pool:
                deque(pool.map(write, largest_first), maxlen=0)
        finally:
            torch.set_num_threads(cores)

    def _write(
        self,
        owner: Owner,
        condition: Condition,
        corrections: Mapping[tuple[str, int], Correction],
    ) -> None:
        group, copy_, replica = owner
        names = members_of(self.program, group, copy_)
        layers = [(name, replicas_of(self.tiles[name])[replica]) for name in names]
        written = program(
            side_by_side([layer.ideal for _, layer in layers]),
            self.pieces[owner],
            self.target,
            self.device,
            seed=self.seed,
            instance=self.instance,
            condition=condition,
            crossbar_max=self.maxima,
            faults=self.faults,
        )
        first = 0
        for name, layer in layers:
            last = first + layer.out_features
            part = written.columns(slice(first, last))
            # Not by the correction: with and without it the same noise is read.
            moment = f"{condition.at_s!r} {condition.temperature_C!r}"
            reads = self.generator(name, replica, f"reads {moment}")
            layer.write(part, reads, corrections.get((name, replica)))
            first = last


def members_of(program_: Program, group: int, copy_: int) -> list[str]:
    """Names in `Tiles` of the layers that share the blocks of a group's copy."""
    members = program_.groups[group].members
    return [names_in_tiles(program_.matrix(member))[copy_] for member in members]


def side_by_side(weights: list[Tensor]) -> Tensor:
    """[cols, rows]: what tiles that several layers share are to hold."""
    return weights[0] if len(weights) == 1 else torch.cat(weights)


def faults_of(program_: Program, target: Target, new: Defects | None = None) -> Faults:
    """The stuck cells that a program was made for, and those that came up since."""
    device = device_of(target)
    cells = len(target.device.cells(1 if device is None else device.devices))
    pair = program_.repair is not None and "pair" in program_.repair.methods
    return Faults(target, cells, program_.defects, new, pair=pair)


def pieces_of(program_: Program, target: Target) -> dict[Owner, list[Piece]]:
    """The pieces of every replica of every copy of a group, from the tables."""
    placed = program_.placements[np.argsort(program_.placements["block"], kind="stable")]
    blocks = program_.blocks[placed["block"]]
    lines_of = _lines_of(program_, target)
    pieces: dict[Owner, list[Piece]] = {}
    for block, place in zip(blocks.tolist(), placed.tolist(), strict=True):
        group, copy_, replica, row, col, rows, cols = block
        address, order = Address(*place[1:]), None
        crossbar = (address.chip, address.tile, address.tier)
        lines = lines_of(crossbar)
        if lines is not None:
            order = Lines(
                lines[0][address.row : address.row + rows],
                lines[1][address.col : address.col + cols],
            )
            first = (int(order.rows.min()), int(order.cols.min()))
            address = Address(*crossbar, *first)
        piece = Piece(row, col, rows, cols, address, order)
        pieces.setdefault((group, copy_, replica), []).append(piece)
    return pieces


def _lines_of(
    program_: Program, target: Target
) -> Callable[[Crossbar], tuple[NDArray[np.int32], NDArray[np.int32]] | None]:
    """The physical rows and columns of a crossbar, in the order in which it is filled; None for
    all of them as they are."""
    if program_.defects is None:
        return lambda crossbar: None
    broken, order_of = DefectMap(program_.defects, target), program_.order_of

    @cache
    def lines_of(crossbar: Crossbar) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        return order_of.get(crossbar) or broken.live_lines(crossbar)

    return lines_of


def crossbar_maxima(
    program_: Program, target: Target, weights: Weights, pieces: Mapping[Owner, list[Piece]]
) -> dict[Crossbar, float] | None:
    """The largest weight on each crossbar, where the target scales by the crossbar."""
    if target.device.scale == "column" and target.output.range == "column":
        return None
    maxima: dict[Crossbar, float] = {}
    for (group, copy_, _), mine in pieces.items():
        weight = side_by_side([weights[name] for name in members_of(program_, group, copy_)])
        for piece in mine:
            largest = float(piece.of(weight).abs().amax())
            maxima[piece.crossbar] = max(maxima.get(piece.crossbar, 0.0), largest)
    return maxima


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
    """Writes a graph for other tools; afmc itself exports anew and never reads it.

    torch.export.load runs code that a prepared archive names, so that a graph is only as
    trustworthy as the folder that it comes from.
    """
    buffer = io.BytesIO()  # torch's own file writer ends the process when a disk is full
    torch.export.save(graph, buffer)
    path.write_bytes(buffer.getbuffer())
