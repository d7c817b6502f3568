"""The verifier on a mapping of a trillion weights: seconds and memory of every rule.

    python tests/benchmarks/verify.py [--layers N] [--experts N] [--rows R] [--columns C]

A mixture of experts of the size of the largest open models is mapped from its shapes alone and
written to a temporary folder, once under each rule. Then each folder is verified in a process of
its own, whole and with one block moved by a row, which must be found. Memory is the largest resident size, less that
of a process that has imported the verifier and read nothing. Everything is measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from afmc import artifact
from afmc.errors import OptionError
from afmc.inspect import summarise
from afmc.ir import Matrix, Model, Program
from afmc.passes.allocate import Allocate
from afmc.passes.merge import Merge
from afmc.passes.place import Place
from afmc.passes.split import Split
from afmc.targets import Target, load_target

HIDDEN, WIDE, LATENT, VOCABULARY = 7168, 2048, 1536, 163_840


def matrices(layers: int, experts: int) -> tuple[Matrix, ...]:
    """Latent attention and a bank of experts in each layer, and a head."""
    found = []
    for layer in range(layers):
        at = f"model.layers.{layer}"
        dense = (
            ("self_attn.q_a_proj", HIDDEN, LATENT, "norm"),
            ("self_attn.q_b_proj", LATENT, 64 * 192, "latent"),
            ("self_attn.kv_a_proj", HIDDEN, 576, "norm"),
            ("self_attn.o_proj", 64 * 128, HIDDEN, "attention"),
        )
        bank = (
            ("mlp.experts.gate_proj", HIDDEN, WIDE, "mlp_norm"),
            ("mlp.experts.up_proj", HIDDEN, WIDE, "mlp_norm"),
            ("mlp.experts.down_proj", WIDE, HIDDEN, "mlp"),
        )
        for kinds, copies in ((dense, 1), (bank, experts)):
            for name, rows, cols, reads in kinds:
                uses = 1.0 if copies == 1 else 8.0
                reads = f"layer{layer}.{reads}"
                found.append(Matrix(f"{at}.{name}", rows, cols, reads, copies, uses))
    return (*found, Matrix("lm_head.weight", HIDDEN, VOCABULARY, "norm"))


def mapped(target: Target, options: argparse.Namespace, rule: str) -> Program:
    found = matrices(options.layers, options.experts)
    model = Model("synthetic", "Synthetic", "0" * 64, sum(m.weights for m in found))
    program = Program(model, found, digital={})
    for step in (Merge(), Split(), Allocate(rule=rule), Place()):  # type: ignore[arg-type]
        program = step(program, target)
    return program


def move(folder: Path) -> None:
    """Shifts the last block that is not at the top of its crossbar's rows by one row."""
    with np.load(folder / artifact.TABLES) as stored:
        tables = dict(stored)
    tables["blocks"]["row"][len(tables["blocks"]) // 2] += 1
    with (folder / artifact.TABLES).open("wb") as file:
        np.savez(file, **tables)  # type: ignore[arg-type]


def measure(folder: str | None, out: multiprocessing.Queue[tuple[float, float, list[str]]]) -> None:
    """Seconds, megabytes and sentences of a verification, in a process of its own."""
    from afmc.verifier import verify

    start = time.perf_counter()
    problems = list(verify(folder).problems) if folder is not None else []
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out.put((seconds, peak, problems))


def alone(folder: Path | None) -> tuple[float, float, list[str]]:
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[tuple[float, float, list[str]]] = context.Queue()
    process = context.Process(target=measure, args=(folder and str(folder), out))
    process.start()
    result = out.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=61)
    parser.add_argument("--experts", type=int, default=384)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--columns", type=int, default=512)
    options = parser.parse_args()
    size = {"crossbar.rows": options.rows, "crossbar.columns": options.columns}
    target = load_target("afm-512-projected", size)
    _, empty, _ = alone(None)
    print(f"{'rule':>10} {'blocks':>10} {'crossbars':>10} {'on disk':>8} {'seconds':>8} {'more MB':>8}")
    for rule in ("exclusive", "parallel", "serial"):
        try:
            program = mapped(target, options, rule)
        except OptionError as error:
            print(f"{rule:>10} {error}")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "out"
            artifact.write(folder, program, target, summarise(program, target, []), dict)
            if rule != "exclusive":
                ask(folder, rule)
            megabytes = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
            blocks, tiles = len(program.blocks), len(np.unique(program.allocations["tile"]))
            del program
            for what in ("", "a block moved"):
                if what:
                    move(folder)
                seconds, peak, problems = alone(folder)
                assert bool(problems) == bool(what), problems
                print(
                    f"{rule:>10} {blocks:>10,} {tiles:>10,} {megabytes:>5,.0f} MB {seconds:>8.1f} "
                    f"{peak - empty:>8,.0f} {what}",
                    flush=True,
                )


def ask(folder: Path, rule: str) -> None:
    """Records that an option asked for the rule, as the pipeline does."""
    path = folder / artifact.PROGRAM
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "passes": [{"name": "allocate", "options": {"rule": rule}}]}))


if __name__ == "__main__":
    main()
