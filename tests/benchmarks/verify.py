"""The verifier on a mapping of a trillion weights: seconds and memory under every rule.

    python tests/benchmarks/verify.py [--layers N] [--experts N] [--side ROWS] [--write]

A mixture of experts of the size of the largest open models is mapped from its shapes alone and
written to a temporary folder: one block a crossbar; two, that share neither row nor column; four.
Each folder is verified in a process of its own, as it is and with one block moved by a row, which
must be found. Memory is the largest resident size, less that of a process that has imported the
verifier and read nothing. Everything is measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from tables import Table, add_option

from afmc.fit import Rule
from afmc.inspect import summarise
from afmc.passes.merge import Merge
from afmc.passes.place import Place
from afmc.passes.split import Split
from afmc.program.folder import TABLES, write_program
from afmc.program.model import Matrix, Model
from afmc.program.program import ALLOCATION, Allocation, Applied, Program
from afmc.targets import Target, load_target

HEADINGS = ("rule", "blocks", "crossbars", "on disk", "as it is", "one block moved: found")
BASIS = "Blocks and crossbars: derived. Seconds, memory and bytes: measured."
HIDDEN, WIDE, LATENT, VOCABULARY = 7168, 2048, 1536, 163_840
TOGETHER: dict[Rule, int] = {"exclusive": 1, "parallel": 2, "serial": 4}
"""Blocks on one crossbar, each within a quarter of it."""


def matrices(layers: int, experts: int) -> tuple[Matrix, ...]:
    """Latent attention and a bank of experts in each layer, and a head."""
    found = []
    for layer in range(layers):
        kinds = (
            ("self_attn.q_a_proj", HIDDEN, LATENT, "norm", 1),
            ("self_attn.q_b_proj", LATENT, 64 * 192, "latent", 1),
            ("self_attn.kv_a_proj", HIDDEN, 576, "norm", 1),
            ("self_attn.o_proj", 64 * 128, HIDDEN, "attention", 1),
            ("mlp.experts.gate_proj", HIDDEN, WIDE, "mlp_norm", experts),
            ("mlp.experts.up_proj", HIDDEN, WIDE, "mlp_norm", experts),
            ("mlp.experts.down_proj", WIDE, HIDDEN, "mlp", experts),
        )
        for name, rows, cols, reads, copies in kinds:
            uses = 1.0 if copies == 1 else 8.0
            at, reads = f"model.layers.{layer}.{name}", f"layer{layer}.{reads}"
            found.append(Matrix(at, rows, cols, reads, copies, uses))
    return (*found, Matrix("lm_head.weight", HIDDEN, VOCABULARY, "norm"))


def targets(side: int, rule: Rule) -> tuple[Target, Target]:
    """Crossbars of which blocks fill a quarter, and crossbars that blocks fill."""
    figures = {"tile.co_location": rule, "chip.tiles": 1024}
    whole, quarter = (
        load_target(
            "afm-512-projected", {**figures, "crossbar.rows": size, "crossbar.columns": size}
        )
        for size in (2 * side, side)
    )
    return whole, quarter


def mapped(options: argparse.Namespace, rule: Rule) -> tuple[Program, Target]:
    whole, quarter = targets(options.side, rule)
    found = matrices(options.layers, options.experts)
    model = Model(
        "synthetic", "Synthetic", "0" * 64, sum(m.weights for m in found), shapes_only=True
    )
    program = Split()(Merge()(Program(model, found, digital={}), whole), quarter)
    blocks = np.arange(len(program.blocks))
    table = np.zeros(len(blocks), ALLOCATION)
    table["block"] = blocks
    table["tile"], place = np.divmod(blocks, TOGETHER[rule])
    table["row"] = options.side * (place % 2)
    table["col"] = options.side * (place % 2 ^ place // 2)
    tiles = int(table["tile"][-1]) + 1
    bounds = {"blocks": len(blocks)} if rule == "exclusive" else {"area": 1}
    lower = max(bounds.values())
    turns = 2 if rule == "serial" else 1  # two blocks are on each line
    proof = Allocation(
        rule, tiles, lower, "OPTIMAL" if lower == tiles else "FEASIBLE", bounds, 0, turns, turns
    )
    applied = (Applied("quarters", {}),)
    program = replace(program, allocation=proof, allocations=table, applied=applied)
    return Place()(program, whole), whole


def write(folder: Path, program: Program, target: Target) -> None:
    assert program.allocation is not None
    worded = replace(program, allocation=replace(program.allocation, rule="parallel"))
    summary = replace(summarise(worded, target, []), rule=program.allocation.rule)
    write_program(folder, program, target, summary, dict)


def move(folder: Path) -> None:
    """The block in the middle of the table holds rows that begin one later."""
    with np.load(folder / TABLES) as stored:
        tables = dict(stored)
    tables["blocks"]["row"][len(tables["blocks"]) // 2] += 1
    with (folder / TABLES).open("wb") as file:
        np.savez(file, **tables)


def measure(folder: str | None, out: multiprocessing.Queue[tuple[float, float, bool]]) -> None:
    """Seconds, megabytes and outcome of a verification."""
    from afmc.verifier import verify

    start = time.perf_counter()
    passed = folder is None or verify(folder).passed
    seconds = time.perf_counter() - start
    out.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, passed))


def alone(folder: Path | None) -> tuple[float, float, bool]:
    """Runs it in a process of its own."""
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[tuple[float, float, bool]] = context.Queue()
    process = context.Process(target=measure, args=(None if folder is None else str(folder), out))
    process.start()
    result = out.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=61)
    parser.add_argument("--experts", type=int, default=384)
    parser.add_argument("--side", type=int, default=512, help="Rows and columns of a whole block.")
    add_option(parser)
    options = parser.parse_args()
    _, idle, _ = alone(None)
    table = Table("scale", "verify", HEADINGS, BASIS)
    table.begin()
    for rule in get_args(Rule):
        program, target = mapped(options, rule)
        assert program.allocation is not None
        sizes = (f"`{rule}`", f"{len(program.blocks):,}", f"{program.allocation.tiles:,}")
        measured = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "out"
            write(folder, program, target)
            del program
            disk = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            for what in ("", "with one block moved: found"):
                if what:
                    move(folder)
                seconds, peak, passed = alone(folder)
                if passed == bool(what):
                    raise SystemExit(f"{rule}: the verifier is wrong ({what or 'nothing moved'})")
                measured.append((seconds, peak - idle))
        cells = [f"{seconds:.1f} s, {memory:,.0f} MB" for seconds, memory in measured]
        table.add(*sizes, f"{disk:,.0f} MB", *cells)
    table.finish(options.write)


if __name__ == "__main__":
    main()
