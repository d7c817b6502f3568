"""The time of a token by afmc's schedule and by IBM's 3D-CiM simulator, with the same constants.

    git clone https://github.com/IBM/3D-CiM-LLM-Inference-Simulator  # at 0bef55f
    pip install matplotlib tqdm                                      # it needs them
    python tests/benchmarks/token_time.py --repo 3D-CiM-LLM-Inference-Simulator

Decoders with one token of one sequence, a tile for each block, and its own figures: 100 ns a
product, 10 ns to a tile and 10 ns from it, 10 ns an addition (partial sums are added one after the
other), 50 ns a normalisation, 1 ns ReLU, 2 ns attention, 10 ns to draw the next word. It has 4
digital units by default, which additions of wide layers wait for; with as many as it likes
(64) nothing waits, which is what our schedule takes for a token alone. Times are exact
nanoseconds of both models; seconds are measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from cim3d import TIER, Case, Simulator, _quiet, ours, program_of
from tables import Table, add_option

from afmc.compiler.pipeline import run_passes
from afmc.costs.schedule import Duration, Durations, schedule
from afmc.passes.allocate import Allocate
from afmc.passes.merge import Merge
from afmc.passes.place import Place
from afmc.passes.split import Split
from afmc.program.model import Work
from afmc.program.program import Program
from afmc.targets import load_target

READ, WAY, ADD, NORM, RELU, ATTENTION, DRAW = 100.0, 10.0, 10.0, 50.0, 1.0, 2.0, 10.0

HEADINGS = (
    "layers x width", "afmc", "3D-CiM, 64 units", "3D-CiM, 4 units", "afmc, s", "3D-CiM, s",
)  # fmt: skip
BASIS = (
    "Nanoseconds: derived, exactly, by both programs from the same constants. Seconds: measured."
)


def with_work(program: Program) -> tuple[Program, list[list[Duration]]]:
    """What its decoder computes between the matrices."""
    work: list[Work] = []
    steps: list[list[Duration]] = []
    for matrix in program.matrices:
        last = matrix.name.rpartition(".")[2]
        ns = {
            "pos_embedding": (ADD,),
            "v_proj_in": (ATTENTION,),
            "out_proj": (ADD, NORM),
            "ffn1": (RELU,),
            "ffn2": (ADD, NORM),
            "lm_head": (DRAW,),
        }.get(last, ())
        if ns:
            work.append(Work(matrix.name, "elementwise"))
            steps.append([Duration(last, "digital", each) for each in ns])
    return replace(program, work=tuple(work)), steps


def our_time(model: object, case: Case) -> float:
    target = load_target("ideal-512", {"chip.tiles": case.tiles, "tile.tiers": case.tiers})
    start, steps = with_work(program_of(model, "3d-cim"))
    mapped = run_passes(start, target, [Merge(enabled=False), Split(), Allocate(), Place()])
    embedded = {i for i, g in enumerate(mapped.groups) if "embedding" in g.members[0]}
    after = [
        # A token reads one row of an embedding: nothing is sent there or added.
        WAY if index in embedded else 2 * WAY + ADD * (-(-group.rows // TIER) - 1)
        for index, group in enumerate(mapped.groups)
    ]
    found = schedule(
        mapped,
        Durations(
            read_ns=READ,
            after_read_ns=after,
            between_chips_ns=[0.0] * len(mapped.groups),
            link_ns=[0.0] * len(mapped.groups),
            share=[1.0] * len(mapped.groups),
            work=steps,
            waits={},
            digital={},
            resources={},
        ),
    )
    return found.latency_ns


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", type=Path, required=True)
    add_option(parser)
    options = parser.parse_args()
    simulator = Simulator(options.repo)
    table = Table("costs", "token-time", HEADINGS, BASIS)
    table.begin()
    for layers, wide, words in ((1, 512, 2048), (4, 512, 2048), (4, 768, 2048), (12, 768, 50257)):
        case = Case(2000, 1, wide, 4 * wide, words, 1, layers, longest=1024, start=1, end=2)
        theirs, taken = [], 0.0
        for units in (64, 4):
            with _quiet():
                model = simulator.model(case)
                model.accelerator.config.num_digital_units = units
                ours(model, case, Place())
                begun = time.perf_counter()
                theirs.append(simulator.nanoseconds(model, case, 0))
                taken = time.perf_counter() - begun
        with _quiet():
            model = simulator.model(case)
        begun = time.perf_counter()
        mine = our_time(model, case)
        seconds = time.perf_counter() - begun
        times = (f"{each:,.0f} ns" for each in (mine, *theirs))
        table.add(f"{layers} x {wide}", *times, f"{seconds:.2f}", f"{taken:.2f}")
    table.finish(options.write)


if __name__ == "__main__":
    main()
