"""Tiles that published models take: one block each, in parallel, and in any layout; with proofs.

    PYTHONPATH=tests/support python tests/benchmarks/packing.py [--chosen] [--write]

Embeddings are digital, lm_head is on tiles, nothing is merged, and matrices are cut into whole
tiles and remainders. ``blocks`` is the count of tools that put one block on a tile; ``known`` are
the best figures known for the two rules (tiles/bound), each from a separate study with CP-SAT over
patterns. Ours are found and proven in this run. With ``--chosen`` also what afmc makes of each
model if it may merge and cut as it likes.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

from programs import compiled
from shapes import MODELS
from tables import Table, add_option

from afmc.program.program import Program
from afmc.targets import load_target

# model, rows, columns, then what is known: blocks, parallel, and any layout with its bound
ROWS: tuple[tuple[str, int, int, int, int, tuple[int, int]], ...] = (
    ("SmolLM-135M", 256, 256, 2_916, 2_856, (2_052, 2_052)),
    ("SmolLM-135M", 512, 512, 1_092, 1_002, (514, 513)),
    ("SmolLM-135M", 1024, 1024, 348, 348, (243, 243)),
    ("GPT-2 124M", 512, 512, 678, 654, (473, 472)),
    ("GPT-2 124M", 1024, 1024, 170, 170, (169, 169)),
    ("GPT-2 XL", 512, 512, 8_460, 8_226, (5_934, 5_932)),
    ("GPT-2 XL", 1024, 1024, 2_212, 2_164, (2_018, 2_018)),
    ("Qwen2.5-0.5B", 512, 512, 2_322, 2_322, (2_154, 2_154)),
    ("Qwen2.5-0.5B", 1024, 1024, 605, 605, (557, 557)),
    ("Llama-3.2-1B", 512, 512, 4_716, 4_716, (4_714, 4_714)),
    ("Llama-3.2-1B", 1152, 256, 4_714, 4_714, (4_586, 4_586)),
    ("Phi-3-mini", 512, 512, 14_202, 14_202, (14_202, 14_202)),
    ("Llama-3-8B", 1152, 256, 28_116, 28_116, (27_604, 27_604)),
    ("Mixtral-8x7B", 512, 512, 177_912, 177_912, (177_656, 177_656)),
    ("DeepSeek-V3", 512, 512, 2_557_384, 2_557_384, (2_556_224, 2_556_224)),
    ("DeepSeek-V3", 1152, 256, 2_561_500, 2_561_455, (2_311_670, 2_311_670)),
)
HEADINGS = (
    "model",
    "tile",
    "one block a tile",
    "`parallel`, known",
    "`parallel`",
    "any layout, known",
    "`serial`",
    "mean sequential reads",
    "seconds",
)
BASIS = (
    "Known: published, by a separate study. Tiles and mean sequential reads: derived, proven to be "
    "the fewest where no bound is given. Seconds of both rules: measured."
)
AS_KNOWN: dict[str, object] = {"merge.enabled": False, "split.style": "full"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--chosen", action="store_true")
    add_option(parser)
    options = parser.parse_args()
    table = Table("capacity", "packing", HEADINGS, BASIS, words=2)
    table.begin()
    for name, rows, columns, blocks, parallel, (tiles, bound) in ROWS:
        if options.model and name not in options.model:
            continue
        start = MODELS[name]()
        exclusive = _compiled(start, rows, columns, "exclusive", AS_KNOWN)
        assert exclusive.tiles == blocks, f"{name} has {exclusive.tiles} blocks, not {blocks}"
        ours, serial = (
            _compiled(start, rows, columns, r, AS_KNOWN) for r in ("parallel", "serial")
        )
        known = f"{tiles:,}" if tiles == bound else f"{tiles:,} (at least {bound:,})"
        seconds = f"{ours.seconds + serial.seconds:.1f}"
        sizes = (name, f"{rows} x {columns}", f"{blocks:,}", f"{parallel:,}")
        table.add(*sizes, str(ours), known, str(serial), f"{serial.mean_turns:.2f}", seconds)
    table.finish(options.write)
    if options.chosen:
        _print_chosen(options.model)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MB (measured)")


def _print_chosen(models: list[str] | None) -> None:
    print("\n| model | tile | exclusive | parallel | serial |\n|---|---|---:|---:|---:|")
    for name, rows, columns, *_ in ROWS:
        if models and name not in models:
            continue
        start = MODELS[name]()
        rules = ("exclusive", "parallel", "serial")
        found = [str(_compiled(start, rows, columns, rule, {})) for rule in rules]
        print(f"| {name} | {rows} x {columns} | {' | '.join(found)} |", flush=True)


@dataclass(frozen=True)
class Packed:
    """Tiles with their bound, and how long all passes and checks took."""

    tiles: int
    lower_bound: int
    mean_turns: float
    seconds: float

    def __str__(self) -> str:
        proven = self.tiles == self.lower_bound
        return f"{self.tiles:,}" + ("" if proven else f" (at least {self.lower_bound:,})")


def _compiled(
    start: Program, rows: int, columns: int, rule: str, settings: dict[str, object]
) -> Packed:
    target = load_target("ideal-512", {"crossbar.rows": rows, "crossbar.columns": columns})
    began = time.perf_counter()
    proof = compiled(start, target, {**settings, "allocate.rule": rule}).allocation
    seconds = time.perf_counter() - began
    assert proof is not None
    return Packed(proof.tiles, proof.lower_bound, proof.mean_turns, seconds)


if __name__ == "__main__":
    main()
