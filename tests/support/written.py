"""A finished compile without model and graph, as `afmc inspect` needs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from programs import compiled, smollm2

from afmc.inspect import summarise
from afmc.program.folder import write_program
from afmc.program.model import Remainder
from afmc.program.observed import Calibration
from afmc.program.program import Program
from afmc.targets import load_target

TARGET = load_target("afm-512-projected", {"tile.co_location": "parallel", "system.chips": 20})


def program() -> Program:
    start = replace(
        smollm2(),
        calibration=Calibration("std:18", "text", "0" * 64, 4096),
        remainder=(Remainder("aten.silu.default", 30, "activation function"),),
    )
    return compiled(start, TARGET, {"partition.digital": ("lm_head",)})


def write(folder: Path) -> Path:
    mapped = program()
    measured = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {}}
    write_program(folder, mapped, TARGET, summarise(mapped, TARGET, []), lambda: measured)
    return folder
