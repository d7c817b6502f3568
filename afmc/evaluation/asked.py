"""What a measurement on noisy tiles is asked for: chips, conditions, defects, other figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np

from afmc.errors import OptionError
from afmc.evaluation.preflight import check_conditions, check_defects
from afmc.evaluation.results import CalibrationCost
from afmc.hardware.conditions import Condition, conditions_of
from afmc.hardware.defects import Defects, gather_defects, what_is_left
from afmc.lower.on_tiles import OnTiles, Written
from afmc.program.trained_for import notes as training_notes
from afmc.simulator.wire_loss import far_wires

DefectSources = str | Path | Defects | Sequence[str | Path | Defects] | None


class AskedOptions(TypedDict, total=False):
    """The fields of `Asked` as keywords, for signatures."""

    instances: int
    seed: int
    at: Sequence[str | float]
    temperature: Sequence[str | float]
    compensation: Sequence[str]
    calibrate: int
    recalibrate: bool
    defects: DefectSources
    settings: Mapping[str, object] | None


@dataclass(frozen=True)
class Asked:
    """Options that perplexity and accuracy on noisy tiles have in common."""

    instances: int = 5
    """Manufactured chips."""
    seed: int = 0
    at: Sequence[str | float] = ()
    """Times since programming: ``"1d"``, or seconds."""
    temperature: Sequence[str | float] = ()
    """Temperatures: ``"85C"``, or degrees Celsius."""
    compensation: Sequence[str] = ()
    """``"none"``, ``"tile"``, ``"column"``, ``"reference"``."""
    calibrate: int = 0
    """Probe inputs of a calibration, with and without which is measured; 0: no calibration."""
    recalibrate: bool = False
    """Also with the program's corrections measured again under every condition."""
    defects: DefectSources = None
    """Cells that stick besides those that the model was compiled for."""
    settings: Mapping[str, object] | None = None
    """Figures of the target for this measurement alone: ``{"device.noise": None}``."""

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise OptionError(f"--instances must be at least 1, but is {self.instances}.")

    def of(self, on_tiles: OnTiles) -> Measurement:
        """The measurement of a model on tiles. Raises OptionError and TargetError."""
        if self.settings:
            on_tiles = on_tiles.on(self.settings)
        program, target = on_tiles.program, on_tiles.target
        if self.recalibrate and not (program.recovery and program.recovery.ranks):
            raise OptionError(
                "--recalibrate: this compile corrects nothing that could be measured again: compile"
                " it with -O1 or -O2."
            )
        conditions = tuple(
            conditions_of(
                target,
                self.at,
                self.temperature,
                self.compensation,
                self.calibrate,
                self.recalibrate,
            )
        )
        broken = gather_defects(self.defects, target)
        notes = check_conditions(target, conditions)
        notes += training_notes(program, target)
        if program.defects is not None:
            notes += (f"broken is what this was compiled for: {program.defects.name}",)
        if broken is not None:
            notes += (check_defects(program, target, broken),)
        notes += what_is_left(target, program.defects, broken) + far_wires(target)
        return Measurement(self, on_tiles, conditions, broken, notes)


@dataclass
class Measurement:
    """One measurement under way: what is on the tiles, and how long programming them took."""

    asked: Asked
    on_tiles: OnTiles
    conditions: tuple[Condition, ...]
    broken: Defects | None
    """Defects that came up since the model was compiled."""
    notes: tuple[str, ...]
    """What a reader of the results should know."""
    written: list[Written] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def write(self, instance: int, condition: Condition) -> None:
        """Puts an instance under a condition onto the tiles."""
        there = self.on_tiles.write(
            seed=self.asked.seed, instance=instance, condition=condition, defects=self.broken
        )
        if not self.written or there is not self.written[-1]:
            self.written.append(there)

    @property
    def programming_s(self) -> float:
        """Time to program one instance, on average; measured."""
        return sum(each.seconds for each in self.written) / len(self.written)

    @property
    def wall_s(self) -> float:
        """Time since the measurement began."""
        return time.perf_counter() - self.started

    @property
    def defects_named(self) -> str | None:
        """Names of all maps of defects, or None without one."""
        maps = [each for each in (self.on_tiles.program.defects, self.broken) if each is not None]
        return " + ".join(each.name for each in maps) or None

    @property
    def calibration_cost(self) -> CalibrationCost | None:
        """Cost of measuring every column of an instance, or None without calibration."""
        probes, target = self.asked.calibrate, self.on_tiles.target
        if not probes:
            return None
        places, blocks = self.on_tiles.program.placements, self.on_tiles.program.blocks
        _, turns = np.unique(places[["chip", "tile"]], return_counts=True)
        latency_ns = target.tile.read_latency_ns
        serving = blocks["replica"] == 0  # a token goes to one replica
        groups = -(-blocks["rows"] // (target.crossbar.active_rows or target.crossbar.rows))
        return CalibrationCost(
            probes=probes,
            reads=probes * len(places),
            tile_time_ns=None if latency_ns is None else probes * int(turns.max()) * latency_ns,
            digital_macs=probes * int(blocks["rows"].astype(np.int64) @ blocks["cols"]),
            digital_operations_per_token=int((groups * blocks["cols"])[serving].sum()),
        )
