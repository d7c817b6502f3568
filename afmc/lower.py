"""The compiled model as something that runs: the original module, or the exported graph, on tiles.

Both hold the same `TileLinear` objects, so both compute the same products.
"""

from __future__ import annotations

import copy
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec

from afmc.conditions import Condition
from afmc.defects import Defects
from afmc.errors import ModelError
from afmc.frontends.matrices import find_products
from afmc.ir import Program
from afmc.simulator.cells import streams_of, write
from afmc.simulator.correction import Correction
from afmc.simulator.device import device_of
from afmc.simulator.layer import TileLinear
from afmc.simulator.random import Address, generator_at
from afmc.simulator.replicas import Replicas
from afmc.simulator.tiles import FRESH, Piece, program, touches
from afmc.targets import Target, load_target

Layer = TileLinear | Replicas
Tiles = Mapping[str, Layer]

# Of a group, a copy and a replica: the numbers of the table of blocks.
Owner = tuple[int, int, int]
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


def make_tiles(module: nn.Module, program: Program, target: Target) -> dict[str, Layer]:
    """A layer of tiles, not yet written, for every analog matrix."""
    tiles: dict[str, Layer] = {}
    replicas = {name: group.replicas for group in program.groups for name in group.members}
    for matrix in program.analog:
        try:
            layer = module.get_submodule(matrix.module)
        except AttributeError as error:
            raise ModelError(
                f"the model has no module {matrix.module!r}, which the program has; compile again."
            ) from error
        layers = [
            TileLinear.unwritten(
                layer.weight,  # type: ignore[arg-type]  # partition leaves only Linear and Conv1D
                layer.bias,  # type: ignore[arg-type]
                target,
                matrix.input_range,
                transposed=matrix.stored == "rows_cols",
            )
            for _ in range(sum(replicas[matrix.name]) or 1)
        ]
        tiles[matrix.name] = layers[0] if len(layers) == 1 else Replicas(layers)
    return tiles


def replicas_of(layer: Layer) -> list[TileLinear]:
    """The layer itself, or those that share its tokens."""
    return layer.replicas if isinstance(layer, Replicas) else [layer]


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

    With probes in the condition, columns are measured just after programming and corrected.
    """
    writer = _Writer(program_, target, tiles, seed, instance, defects)
    corrections: dict[tuple[str, int], Correction] = {}
    if condition.probes:
        writer.write(FRESH, {})
        for matrix in program_.analog:
            for replica, layer in enumerate(replicas_of(tiles[matrix.name])):
                draws = writer.generator(matrix.name, replica, "probes")
                corrections[matrix.name, replica] = layer.measure(condition.probes, draws)
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


def count_hits(program_: Program, target: Target, defects: Defects) -> int:
    """Lines of a map that are about cells of some block."""
    hit = np.zeros(len(defects.stuck), dtype=bool)
    for pieces in _pieces(program_).values():
        for piece in pieces:
            hit |= touches(defects, piece)
    devices = target.device.devices_per_polarity
    return int((hit & (defects.stuck["device"] < devices)).sum())


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
        self.seed, self.instance, self.defects = seed, instance, defects
        self.device = device_of(target)
        self.pieces = _pieces(program_)
        self.maxima = _crossbar_maxima(program_, target, tiles, self.pieces)
        self.place = {
            (name, replica): pieces[0].address
            for (group, _, replica), pieces in self.pieces.items()
            for name in program_.groups[group].members
        }

    def generator(self, matrix: str, replica: int, purpose: str) -> torch.Generator:
        """For draws that belong to a matrix as a whole, at its first block."""
        place = self.place[matrix, replica]
        return generator_at(self.seed, self.instance, place, f"{purpose} {matrix}")

    def write(
        self, condition: Condition, corrections: Mapping[tuple[str, int], Correction]
    ) -> None:
        """All matrices, the largest first, one a core at a time."""
        owners = sorted(self.pieces, key=lambda owner: -len(self.pieces[owner]))
        cores = torch.get_num_threads()

        def write(owner: Owner) -> None:
            self._write(owner, condition, corrections)

        try:
            # Blocks are too small to share: each thread works by itself, on a matrix of its own.
            with ThreadPoolExecutor(cores, "tiles", torch.set_num_threads, (1,)) as pool:
                deque(pool.map(write, owners), maxlen=0)
        finally:
            torch.set_num_threads(cores)

    def _write(
        self,
        owner: Owner,
        condition: Condition,
        corrections: Mapping[tuple[str, int], Correction],
    ) -> None:
        group, _, replica = owner
        members = [self.program.matrix(name) for name in self.program.groups[group].members]
        weights = [self.tiles[m.name].ideal for m in members]
        written = program(
            weights[0] if len(weights) == 1 else torch.cat(weights),
            self.pieces[owner],
            self.target,
            self.device,
            seed=self.seed,
            instance=self.instance,
            condition=condition,
            crossbar_max=self.maxima,
            defects=self.defects,
        )
        first = 0
        for matrix in members:
            part = written.columns(slice(first, first + matrix.cols))
            # Not by the correction: with and without it the same noise is read.
            moment = f"{condition.at_s!r} {condition.temperature_C!r}"
            reads = self.generator(matrix.name, replica, f"reads {moment}")
            layer = replicas_of(self.tiles[matrix.name])[replica]
            layer.write(part, reads, corrections.get((matrix.name, replica)))
            first += matrix.cols


def _pieces(program_: Program) -> dict[Owner, list[Piece]]:
    """The pieces of every replica of every copy of a group, from the tables."""
    placed = program_.placements[np.argsort(program_.placements["block"], kind="stable")]
    blocks = program_.blocks[placed["block"]]
    pieces: dict[Owner, list[Piece]] = {}
    for block, place in zip(blocks.tolist(), placed.tolist(), strict=True):
        group, copy_, replica, row, col, rows, cols = block
        piece = Piece(row, col, rows, cols, Address(*place[1:]))
        pieces.setdefault((group, copy_, replica), []).append(piece)
    return pieces


def _crossbar_maxima(
    program_: Program, target: Target, tiles: Tiles, pieces: Mapping[Owner, list[Piece]]
) -> dict[tuple[int, int, int], float] | None:
    """The largest weight on each crossbar, where the target scales by the crossbar."""
    if target.device.scale == "column" and target.output.range == "column":
        return None
    maxima: dict[tuple[int, int, int], float] = {}
    for (group, _, _), mine in pieces.items():
        members = program_.groups[group].members
        weight = torch.cat([tiles[name].ideal for name in members])
        for piece in mine:
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
