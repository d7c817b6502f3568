"""What is checked before anything is simulated: conditions and defects that a target knows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from afmc.errors import OptionError
from afmc.hardware.conditions import Condition, format_time
from afmc.hardware.defect_map import DefectMap
from afmc.hardware.defects import ALL, Defects
from afmc.program.layout import layout_of
from afmc.program.program import Program
from afmc.simulator.cells import streams_of, write
from afmc.simulator.devices.base import device_of
from afmc.simulator.instance import pieces_of
from afmc.simulator.streams import Address
from afmc.simulator.tiles import FRESH
from afmc.targets import Target, load_target


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
    layout = layout_of(program_, target)
    dead = broken.crossbars(np.arange(layout.chips))["dead"]
    hit = np.zeros(total, np.bool_)
    for piece in chain.from_iterable(pieces_of(layout).values()):
        chip, tile, tier = piece.crossbar
        lines = (piece.lines.rows, piece.lines.cols)
        alive = zip(lines, broken.live_lines(piece.crossbar), strict=True)
        if dead[chip, tile, tier] or not all(np.isin(*each).all() for each in alive):
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
