"""What keeps the cells of a crossbar from being the weights: a table, so that none is forgotten.

A block that no effect touches is its weights, and is neither programmed nor read apart. Errors of
converters are no effects of cells: `afmc.simulator.converters` draws them for every block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afmc.simulator.devices.base import Device
from afmc.simulator.faults import Stuck
from afmc.simulator.read_noise import ReadNoise
from afmc.targets import Target

FOUR_PHASES = 4
"""Phases of a read that take each polarity of inputs and of weights by itself."""


@dataclass(frozen=True)
class Written:
    """What a block is written with: its target, its devices and what is wrong with its cells."""

    target: Target
    device: Device | None
    """None for perfect devices."""
    noise: ReadNoise
    stuck: Stuck | None
    """Stuck cells of the block, or None if all its cells work."""


@dataclass(frozen=True)
class Effect:
    """Something that cells do besides holding their weights."""

    name: str
    keys: tuple[str, ...]
    """Keys of a target that bring it about, ``table.key``; a table alone stands for all its keys.
    """
    active: Callable[[Written], bool]


EFFECTS: tuple[Effect, ...] = (
    Effect(
        "devices",
        ("device.noise", "device.options"),
        lambda written: written.device is not None,
    ),
    Effect(
        "stuck cells",
        ("device.stuck_off_rate", "device.stuck_on_rate"),
        lambda written: bool(
            written.stuck is not None
            or written.target.device.stuck_off_rate
            or written.target.device.stuck_on_rate
        ),
    ),
    Effect(
        "IR drop",
        ("crossbar.wire_row_ohm", "crossbar.wire_column_ohm"),
        lambda written: bool(
            written.target.crossbar.wire_row_ohm or written.target.crossbar.wire_column_ohm
        ),
    ),
    Effect(
        "read noise",
        ("crossbar.read_voltage_V", "optics"),
        lambda written: bool(written.noise),
    ),
    Effect(
        "reads by polarity",
        ("tile.read_phases",),
        lambda written: written.target.tile.read_phases == FOUR_PHASES,
    ),
)


def distorted(written: Written) -> bool:
    """Whether cells hold anything but the weights, or are read apart."""
    return any(effect.active(written) for effect in EFFECTS)
