"""The compiled model as something that runs: the original module, or the exported graph, on tiles.

Both hold the same `TileLinear` objects, so both compute the same products.
"""

from __future__ import annotations

import copy
import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
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

from afmc.conditions import Condition
from afmc.defect_map import Crossbar, DefectMap
from afmc.defects import ALL, Defects
from afmc.errors import ModelError, OptionError
from afmc.frontends.matrices import find_products
from afmc.ir import Group, Program
from afmc.simulator.cells import streams_of, write
from afmc.simulator.correction import Correction
from afmc.simulator.device import device_of
from afmc.simulator.faults import Faults
from afmc.simulator.layer import TileLinear
from afmc.simulator.lines import Lines
from afmc.simulator.random import Address, generator_at
from afmc.simulator.tiles import FRESH, Piece, program
from afmc.targets import Target, load_target

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
    corrections: dict[str, Correction] = {}
    if condition.probes:
        writer.write(FRESH, {})
        for matrix in program_.analog:
            draws = writer.generator(matrix.name, "probes")
            corrections[matrix.name] = tiles[matrix.name].measure(condition.probes, draws)
    writer.write(condition, corrections)


def check_conditions(target: Target, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """What the target's devices do not do under these conditions, in sentences.

    Raises TargetError, in the device model's sentence, where it does not know a condition.
    """
    device = device_of(target)
    if device is None:
        return ()
    streams = streams_of(0, 0, Address(0, 0, 0, 0, 0))
    some = torch.linspace(-1, 1, 9).unsqueeze(0)
    written = write(some, torch.ones(1), target, device, streams)
    found = {}
    for condition in conditions:
        for key, alone in (
            ("time", Condition(at_s=condition.at_s)),
            ("temperature", Condition(temperature_C=condition.temperature_C)),
        ):
            plain = load_target(target, {"device.read_noise": "none"})
            states = written.at(plain, device, alone, streams)
            fresh = written.at(plain, device, FRESH, streams)
            same = all(torch.equal(s.mean, f.mean) for s, f in zip(states, fresh, strict=True))
            if alone != FRESH and same:
                found[key] = f"{type(device).__name__} has no model of what {key} does to it"
        written.at(target, device, condition, streams)
    return tuple(found.values())


def check_defects(program_: Program, target: Target, defects: Defects) -> str:
    """How many entries of a map that the program was not made for are about cells of some block.

    Raises OptionError when none is, or when a block is on something that is dead.
    """
    broken, total = DefectMap(defects, target), len(defects.stuck)
    chips = np.unique(program_.placements["chip"])
    dead = broken.crossbars(chips.astype(np.int64))["dead"]
    number = dict(zip(chips.tolist(), range(len(chips)), strict=True))
    hit = np.zeros(total, np.bool_)
    for piece in chain.from_iterable(pieces_of(program_, target)):
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
        self.maxima = _crossbar_maxima(program_, target, tiles, self.pieces)
        self.place = {
            name: self.pieces[index][0].address
            for index, group in enumerate(program_.groups)
            for name in group.members
        }

    def generator(self, matrix: str, purpose: str) -> torch.Generator:
        """For draws that belong to a matrix as a whole, at its first block."""
        return generator_at(self.seed, self.instance, self.place[matrix], f"{purpose} {matrix}")

    def write(self, condition: Condition, corrections: Mapping[str, Correction]) -> None:
        """All groups, the largest first, one a core at a time."""
        groups = sorted(
            zip(self.pieces, self.program.groups, strict=True), key=lambda each: -len(each[0])
        )
        cores = torch.get_num_threads()

        def write(each: tuple[list[Piece], Group]) -> None:
            self._write(*each, condition, corrections)

        try:
            # Blocks are too small to share: each thread works by itself, on a group of its own.
            with ThreadPoolExecutor(cores, "tiles", torch.set_num_threads, (1,)) as pool:
                deque(pool.map(write, groups), maxlen=0)
        finally:
            torch.set_num_threads(cores)

    def _write(
        self,
        pieces: list[Piece],
        group: Group,
        condition: Condition,
        corrections: Mapping[str, Correction],
    ) -> None:
        members = [self.program.matrix(name) for name in group.members]
        weights = [self.tiles[m.name].ideal for m in members]
        written = program(
            weights[0] if len(weights) == 1 else torch.cat(weights),
            pieces,
            self.target,
            self.device,
            seed=self.seed,
            instance=self.instance,
            condition=condition,
            crossbar_max=self.maxima,
            faults=self.faults,
        )
        first = 0
        for matrix in members:
            part = written.columns(slice(first, first + matrix.cols))
            # Not by the correction: with and without it the same noise is read.
            moment = f"{condition.at_s!r} {condition.temperature_C!r}"
            reads = self.generator(matrix.name, f"reads {moment}")
            self.tiles[matrix.name].write(part, reads, corrections.get(matrix.name))
            first += matrix.cols


def faults_of(program_: Program, target: Target, new: Defects | None = None) -> Faults:
    """The stuck cells that a program was made for, and those that came up since."""
    device = device_of(target)
    cells = len(target.device.cells(1 if device is None else device.devices))
    pair = program_.repair is not None and "pair" in program_.repair.methods
    return Faults(target, cells, program_.defects, new, pair=pair)


def pieces_of(program_: Program, target: Target) -> list[list[Piece]]:
    """The pieces of every group, from the tables."""
    placed = program_.placements[np.argsort(program_.placements["block"], kind="stable")]
    blocks = program_.blocks[placed["block"]]
    lines_of = _lines_of(program_, target)
    pieces: list[list[Piece]] = [[] for _ in program_.groups]
    for block, place in zip(blocks.tolist(), placed.tolist(), strict=True):
        group, _, _, row, col, rows, cols = block
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
        pieces[group].append(Piece(row, col, rows, cols, address, order))
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


def _crossbar_maxima(
    program_: Program, target: Target, tiles: Tiles, pieces: list[list[Piece]]
) -> dict[Crossbar, float] | None:
    """The largest weight on each crossbar, where the target scales by the crossbar."""
    if target.device.scale == "column" and target.output.range == "column":
        return None
    maxima: dict[Crossbar, float] = {}
    for index, group in enumerate(program_.groups):
        members = [program_.matrix(name) for name in group.members]
        weight = torch.cat([tiles[m.name].ideal for m in members])
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
