"""The closed form of IR drop against nodal analysis, and its time against a matrix product's.

    python tests/benchmarks/wires.py [--sizes 64 128 256] [--threads N] [--write]

A crossbar of `size` rows and `size` columns of cells, wires of equal resistance in both directions.
Conductances: all 5 uS; uniform from 0 to 20 uS; and pairs of columns for normal weights scaled by
the column, PCM of 0 to 20.7 uS and RRAM of 9 to 88 uS. `cell` is the largest loss of a cell of at
least half the largest conductance. Errors are in % of the largest current without wires, with all
rows at full voltage: of columns whose rows have random voltages from 0 to full, largest and rms;
`ignored` is the rms with no model of the wires. `signed` is the rms for random voltages of both
signs, in % of the rms current that they give. Four minutes for 256.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from tables import Table, add_option
from torch import Tensor

from afmc.simulator import nodal
from afmc.simulator.wires import Wires, effective, effective_pair

HEADINGS = (
    "cells", "crossbar", "ohm a cell", "ends", "largest loss of a cell", "rms if ignored",
    "largest error", "rms error", "rms, both signs",
)  # fmt: skip
BASIS = (
    "Errors: measured, against nodal analysis of the resistor network, in % of the largest current."
)
OHM = (0.15, 0.35, 1.5)
INPUTS = 4096


def pairs(size: int, generator: torch.Generator, g_min_uS: float, g_max_uS: float) -> Tensor:
    weight = torch.randn(size // 2, size, generator=generator, dtype=torch.float64)
    weight *= (g_max_uS - g_min_uS) / weight.abs().amax(dim=1, keepdim=True)
    return torch.stack((weight, -weight), dim=1).flatten(0, 1).clamp(min=0) + g_min_uS


def conductances(size: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "equal": torch.full((size, size), 5.0, dtype=torch.float64),
        "uniform": 20 * torch.rand(size, size, generator=generator, dtype=torch.float64),
        "PCM": pairs(size, generator, 0.0, 20.7),
        "RRAM": pairs(size, generator, 9.0, 88.0),
    }


def accuracy(g_uS: Tensor, wires: Wires, generator: torch.Generator) -> list[float]:
    """In %, as the columns of the table."""
    exact, got = nodal.effective(g_uS, wires), effective(g_uS, wires)
    large = g_uS >= g_uS.max() / 2
    full = g_uS.sum(dim=1).max()
    volts = torch.rand(INPUTS, wires.rows, generator=generator, dtype=torch.float64)
    signed = 2 * volts - 1
    off = volts @ (got - exact).T / full
    values = (
        (1 - exact / g_uS)[large].max(),
        (volts @ (g_uS - exact).T / full).square().mean().sqrt(),
        off.abs().max(),
        off.square().mean().sqrt(),
        ((signed @ (got - exact).T).square().mean() / (signed @ exact.T).square().mean()).sqrt(),
    )
    return [100 * float(value) for value in values]


def milliseconds(call: Callable[[], object], rounds: int = 30) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)

    print(f"torch {torch.__version__}, {options.threads} threads")
    table = Table("validation", "wires", HEADINGS, BASIS, words=2)
    table.begin()
    for size in options.sizes:
        for name, g_uS in conductances(size, generator).items():
            for ohm in OHM:
                for ends in (1, 2):
                    wires = Wires(size, size, ohm, ohm, both_ends=ends == 2)
                    cell, ignored, *errors = accuracy(g_uS, wires, generator)
                    drops = (f"{cell:.1f} %", f"{ignored:.2f} %")
                    rest = (f"{each:.4f} %" for each in errors)
                    table.add(name, f"{size} x {size}", str(ohm), str(ends), *drops, *rest)
    table.finish(options.write)

    plus, minus, x = (torch.rand(512, 512, generator=generator) for _ in range(3))
    wires = Wires(512, 512, 0.15, 0.15)
    print("512 x 512, fp32, ms:")
    print(f"  {milliseconds(lambda: effective(plus, wires)):.1f} of single cells")
    print(f"  {milliseconds(lambda: effective_pair(plus, minus, wires)):.1f} of pairs")
    for tokens in (512, 64, 1):
        product = milliseconds(lambda rows=x[:tokens]: rows @ plus.T)  # type: ignore[misc]
        print(f"  {product:.2f} for the product with {tokens} tokens")


if __name__ == "__main__":
    main()
