"""One manufactured chip: every draw that is made once, written to the tiles of a program."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from afmc.hardware.conditions import Condition
from afmc.hardware.defect_map import Crossbar
from afmc.hardware.defects import Defects
from afmc.program.layout import Layout, Owner, layout_of
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.simulator.beforehand import made_up_for
from afmc.simulator.correction import Correction
from afmc.simulator.devices.base import device_of
from afmc.simulator.directions import Directions
from afmc.simulator.faults import Faults
from afmc.simulator.lines import Lines
from afmc.simulator.replicas import Tiles, replicas_of
from afmc.simulator.streams import Address, generator_at
from afmc.simulator.tiles import FRESH, Piece, program
from afmc.targets import Target

Weights = Mapping[str, Tensor]
"""What tiles are to hold, [outputs, inputs], by name in `Tiles`."""


def write_instance(
    program_: Program,
    target: Target,
    tiles: Tiles,
    *,
    seed: int,
    instance: int,
    condition: Condition = FRESH,
    defects: Defects | None = None,
    directions: Mapping[str, Directions] | None = None,
    reads: int = 0,
    beforehand: dict[Owner, Tensor] | None = None,
) -> None:
    """Programs one manufactured instance and lets time pass: every draw that is made once.

    `defects` have come up since the program was made for those that it knows. With probes in the
    condition, columns are measured just after programming and corrected. In `directions` of the
    inputs, by name in `Tiles`, errors are measured with so many `reads` each and corrected: just
    after programming, or under the condition where that says `recalibrated`. Where the program
    makes up for wires, `beforehand` keeps what is written instead, for the next instance.
    """
    writer = _Writer(program_, target, tiles, seed, instance, defects)
    if program_.recovery is not None and program_.recovery.wires:
        writer.beforehand = {} if beforehand is None else beforehand
    corrections: dict[tuple[str, int], Correction] = {}
    if condition.probes:
        writer.write(FRESH, {})
        for name, layer in tiles.items():
            for number, replica in enumerate(replicas_of(layer)):
                draws = writer.generator(name, number, "probes")
                corrections[name, number] = replica.measure(condition.probes, draws)
    if not directions:
        writer.write(condition, corrections)
        return
    earlier = not condition.recalibrated and not condition.is_fresh
    writer.write(FRESH if earlier else condition, corrections)
    errors = {
        (name, number): replica.measure_errors(
            directions[name], reads, writer.generator(name, number, "directions")
        )
        for name in directions
        for number, replica in enumerate(replicas_of(tiles[name]))
    }
    if earlier:
        writer.write(condition, corrections)
    for (name, number), measured in errors.items():
        replicas_of(tiles[name])[number].correct(measured)


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
        self.beforehand: dict[Owner, Tensor] | None = None
        self.layout = layout_of(program_, target)
        self.pieces = pieces_of(self.layout)
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
        ideal, pieces = side_by_side([layer.ideal for _, layer in layers]), self.pieces[owner]
        instead = None
        if self.beforehand is not None:
            if owner not in self.beforehand:
                self.beforehand[owner] = made_up_for(ideal, pieces, self.target, self.maxima)
            instead = self.beforehand[owner]
        written = program(
            ideal,
            pieces,
            self.target,
            self.device,
            seed=self.seed,
            instance=self.instance,
            condition=condition,
            crossbar_max=self.maxima,
            faults=self.faults,
            written=instead,
        )
        members = self.program.groups[group].members
        for member, (name, layer) in zip(members, layers, strict=True):
            first = self.layout.first_column[member]
            part = written.columns(slice(first, first + layer.out_features))
            # Not by the correction: with and without it the same noise is read.
            moment = f"{condition.at_s!r} {condition.temperature_C!r}"
            reads = self.generator(name, replica, f"reads {moment}")
            layer.write(part, reads, corrections.get((name, replica)))


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


_PIECES: WeakKeyDictionary[Layout, dict[Owner, list[Piece]]] = WeakKeyDictionary()


def pieces_of(layout: Layout) -> dict[Owner, list[Piece]]:
    """The pieces of every replica of every copy of a group, kept for as long as the layout."""
    if layout not in _PIECES:
        _PIECES[layout] = {owner: _pieces(layout, owner) for owner in layout.owners}
    return _PIECES[layout]


def _pieces(layout: Layout, owner: Owner) -> list[Piece]:
    pieces = []
    for _, _, _, _, row, col, rows, cols, *place in layout.pieces(owner).tolist():
        address, order = Address(*place), None
        crossbar = (address.chip, address.tile, address.tier)
        lines = layout.lines(crossbar)
        if lines is not None:
            order = Lines(
                lines[0][address.row : address.row + rows],
                lines[1][address.col : address.col + cols],
            )
            first = (int(order.rows.min()), int(order.cols.min()))
            address = Address(*crossbar, *first)
        pieces.append(Piece(row, col, rows, cols, address, order))
    return pieces


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
