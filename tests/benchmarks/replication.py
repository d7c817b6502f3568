"""Replicas for convolutional networks on PIMCOMP's chip, beside what PIMCOMP chooses.

    python tests/benchmarks/replication.py [--pimcomp FOLDER] [--write]

The chip has 12 x 12 cores of 64 crossbars of 128 x 128, 9,216 in all. A matrix of a convolution is
used once a window, so that the busiest matrix decides how many images a second come through: it
takes windows / replicas turns an image. Counted as PIMCOMP counts: a cell of a crossbar holds one
weight ("logical crossbar"), whatever the bits of weights and cells.

PIMCOMP-NN is https://github.com/sunxt99/PIMCOMP-NN at commit 2ed10c8, built as its README says.
FOLDER is its build folder: its methods then run beside ours. Without it the choices of such a run
are printed. Its genetic algorithm has no seed. Seconds are measured: of its whole run, of all our
passes with their checks, and of the pass `replicate` alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import Table, add_option

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.passes import options_of
from afmc.passes.replicate import Replicate
from afmc.program.model import Matrix, Model
from afmc.program.program import Program, Replication
from afmc.targets import Target, load_target

CROSSBARS = 12 * 12 * 64
CHIP = {
    "crossbar.rows": 128,
    "crossbar.columns": 128,
    "chip.tiles": CROSSBARS,
    "system.chips": 1,
}
METHODS = ("balance", "W0H0", "GA")
HEADINGS = (
    "network", *(f"PIMCOMP {method}" for method in METHODS), "afmc", "its crossbars", "at least",
)  # fmt: skip
BASIS = (
    "Sequential reads of the busiest matrix for an image. PIMCOMP: measured, one run of its commit "
    "2ed10c8, whose genetic algorithm has no seed. afmc and its bound: derived."
)


def convolution(kernel: int, inputs: int, outputs: int, size: int) -> tuple[int, int, int]:
    """Rows, columns, and windows of `size` x `size` outputs."""
    return kernel * kernel * inputs, outputs, size * size


def resnet18() -> Iterator[tuple[int, int, int]]:
    yield convolution(7, 3, 64, 112)
    width = 64
    for stage, size in enumerate((56, 28, 14, 7)):
        wider = 64 * 2**stage
        if stage:
            yield convolution(1, width, wider, size)  # the shortcut
        for inputs in (width, wider, wider, wider):
            yield convolution(3, inputs, wider, size)
        width = wider
    yield width, 1000, 1


def resnet50() -> Iterator[tuple[int, int, int]]:
    """The first version: the first convolution of a stage has the stride."""
    yield convolution(7, 3, 64, 112)
    width = 64
    for stage, (blocks, size) in enumerate(((3, 56), (4, 28), (6, 14), (3, 7))):
        narrow = 64 * 2**stage
        for block in range(blocks):
            yield convolution(1, width, narrow, size)
            yield convolution(3, narrow, narrow, size)
            yield convolution(1, narrow, 4 * narrow, size)
            if block == 0:
                yield convolution(1, width, 4 * narrow, size)
            width = 4 * narrow
    yield width, 1000, 1


def squeezenet() -> Iterator[tuple[int, int, int]]:
    """Version 1.1, its first convolution without padding."""
    yield convolution(3, 3, 64, 111)
    width = 64
    for squeezed, expanded, size in (
        (16, 64, 55), (16, 64, 55), (32, 128, 27), (32, 128, 27),
        (48, 192, 13), (48, 192, 13), (64, 256, 13), (64, 256, 13),
    ):  # fmt: skip
        yield convolution(1, width, squeezed, size)
        yield convolution(1, squeezed, expanded, size)
        yield convolution(3, squeezed, expanded, size)
        width = 2 * expanded
    yield convolution(1, width, 1000, 13)


def vgg16() -> Iterator[tuple[int, int, int]]:
    width = 3
    for outputs, layers, size in (
        (64, 2, 224), (128, 2, 112), (256, 3, 56), (512, 3, 28), (512, 3, 14),
    ):  # fmt: skip
        for _ in range(layers):
            yield convolution(3, width, outputs, size)
            width = outputs
    yield 7 * 7 * width, 4096, 1
    yield 4096, 4096, 1
    yield 4096, 1000, 1


NETWORKS = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "squeezenet": squeezenet,
    "vgg16": vgg16,
}


@dataclass(frozen=True)
class Choice:
    turns: int
    """Sequential reads of the busiest matrix for one image."""
    crossbars: int
    seconds: float | None = None
    """Seconds of everything that the tool does; None where it did not run here."""


# What PIMCOMP-NN at 2ed10c8 chose in one run on this chip. Of VGG16 only GA gives an answer.
MEASURED = {
    ("resnet18", "balance"): Choice(33, 5334),
    ("resnet18", "W0H0"): Choice(33, 7352),
    ("resnet18", "GA"): Choice(21, 8340),
    ("resnet50", "balance"): Choice(53, 6123),
    ("resnet50", "W0H0"): Choice(66, 6776),
    ("resnet50", "GA"): Choice(40, 8459),
    ("squeezenet", "balance"): Choice(13, 4716),
    ("squeezenet", "W0H0"): Choice(15, 7644),
    ("squeezenet", "GA"): Choice(8, 7666),
    ("vgg16", "GA"): Choice(965, 9213),
}


def program_of(name: str) -> Program:
    matrices = tuple(
        Matrix(f"{index}", rows, cols, f"x{index}", per_token=windows, module=f"{index}")
        for index, (rows, cols, windows) in enumerate(NETWORKS[name]())
    )
    return Program(Model(name, name, "", sum(m.weights for m in matrices)), matrices)


def ours(program: Program, target: Target, step: Replicate) -> tuple[Choice, Replication, float]:
    """The whole mapping, its proof, and the seconds of the pass alone."""
    before = run_passes(program, target, load_passes(("partition", "merge", "split")))
    start = time.perf_counter()
    step(before, target)
    alone = time.perf_counter() - start
    settings = {f"replicate.{key}": value for key, value in options_of(step).items()}
    start = time.perf_counter()
    mapped = run_passes(program, target, configure(load_passes(), settings))
    seconds = time.perf_counter() - start
    proof = mapped.replication
    assert proof is not None and len(np.unique(mapped.placements["tile"])) == proof.crossbars
    return Choice(proof.turns, proof.crossbars, seconds), proof, alone


def by_pimcomp(folder: Path, name: str, method: str) -> Choice | None:
    """Runs it, and reads how often it has each matrix."""
    start = time.perf_counter()
    run = subprocess.run(
        ["./PIMCOMP-NN", f"-m={name}", f"-r={method}", "-p=batch", *(f"-{k}=NO" for k in "ovis")],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = time.perf_counter() - start
    layers = list(NETWORKS[name]())
    if method == "W0H0":
        [times] = re.findall(r"replication_time:(\d+)", run.stdout) or ["0"]
        replicas = [int(times) * int(r) for r in re.findall(r"relative_rep_num:(\d+)", run.stdout)]
        replicas += [1] * (len(layers) - len(replicas))  # it does not list dense layers
    elif method == "balance":
        replicas = [int(r) for r in re.findall(r"replication_num:(\d+)", run.stdout)]
    else:
        replicas = [int(r) for r in re.findall(r"OP_(?:CONV|FC)  (\d+)", run.stdout)]
    if run.returncode or len(replicas) != len(layers):
        return None
    blocks = [-(-rows // 128) * -(-cols // 128) for rows, cols, _ in layers]
    turns = [-(-windows // r) for (_, _, windows), r in zip(layers, replicas, strict=True)]
    crossbars = sum(b * r for b, r in zip(blocks, replicas, strict=True))
    return Choice(max(turns), crossbars, seconds)


def line(network: str, method: str, choice: Choice, rest: str) -> str:
    seconds = "" if choice.seconds is None else f"{choice.seconds:.3f}"
    return (
        f"{network:10} {method:22} {choice.turns:8,} turns {choice.crossbars:9,} {seconds:>9}{rest}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pimcomp", type=Path, metavar="FOLDER")
    add_option(parser)
    options = parser.parse_args()
    folder = options.pimcomp
    table = Table("replicas", "pimcomp", HEADINGS, BASIS)
    target = load_target("ideal-512", CHIP)
    print(
        f"{'network':10} {'method':22} {'busiest matrix':>14} {'crossbars':>9} {'seconds':>9} "
        f"{'the pass':>9}  proof"
    )
    for name in NETWORKS:
        program = program_of(name)
        budgets, reads = [CROSSBARS], []
        for method in METHODS:
            peer = by_pimcomp(folder, name, method) if folder else MEASURED.get((name, method))
            if peer is None:
                print(f"{name:10} {'PIMCOMP ' + method:22} no answer")
                reads.append("no answer")
                continue
            reads.append(f"{peer.turns:,}")
            budgets.append(peer.crossbars)
            print(line(name, f"PIMCOMP {method}", peer, f"{'':>10}  none"))
        best, proof, _ = ours(program, target, Replicate(CROSSBARS))
        table.keep(name, *reads, f"{best.turns:,}", f"{best.crossbars:,}", f"{proof.lower_bound:,}")
        for budget in budgets:
            choice, proof, alone = ours(program, target, Replicate(budget))
            rest = f" {alone:9.4f}  at least {proof.lower_bound:,}: {proof.status}"
            print(line(name, f"afmc, {budget:,}", choice, rest))
    print()
    print("all matrices of an image one after the other (--set replicate.objective=latency)")
    for name in NETWORKS:
        step = Replicate(CROSSBARS, "latency")
        choice, proof, alone = ours(program_of(name), target, step)
        rest = f" {alone:9.4f}  at least {proof.lower_bound:,}: {proof.status}"
        print(line(name, f"afmc, {CROSSBARS:,}", choice, rest))
    table.finish(options.write)


if __name__ == "__main__":
    main()
