"""SmolLM2-135M with stuck cells: perplexity without repair, permuted, and made up for.

    python tests/benchmarks/defects.py [--target ideal-512] [--digital PATTERN]... [--text FILE]

Half of the stuck devices stay at the smallest state, half at the largest. One line for each share,
method and map, with the squared error of products (mean over matrices, derived).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from tables import Table, add_option

import afmc
from afmc.compiled_model import CompiledModel
from afmc.compiler.activations import mean_squares
from afmc.compiler.options import parse_repair
from afmc.compiler.repair import repair
from afmc.data.text import read_text
from afmc.data.tokens import tokenise, windows_of
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load
from afmc.frontends.in_memory import from_module
from afmc.hardware.defects import parse_rates

METHODS = {
    "none": "no repair",
    "permute": "rows and columns permuted",
    "pair": "pairs made up for",
    "permute,pair": "permuted, and pairs made up for",
}
BASIS = (
    "Perplexity: measured, in simulation, one random map of each share. In brackets the squared "
    "error of a product, mean over matrices: derived."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="ideal-512")
    parser.add_argument("--digital", action="append", default=[])
    parser.add_argument("--text")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--shares", default="0.01,0.05,0.10")
    parser.add_argument("--repair", default="none;permute;pair;permute,pair")
    parser.add_argument("--seeds", default="0", help="of the random maps")
    add_option(parser)
    options = parser.parse_args()
    source = load(resolve("smollm2-135m"))
    model = afmc.compile(
        source.module, options.target, tokenizer=source.tokenizer, digital=options.digital, level=0
    )
    text = read_text(None, "calibration")
    windows = list(windows_of(tokenise(source.tokenizer, text.content, 1024), 1024))
    readers = {matrix.input: matrix.module for matrix in model.program.analog}
    squares = mean_squares(source.module, readers, windows)
    print(f"{options.target}: {len(model.program.analog)} matrices on tiles", flush=True)
    methods_asked = options.repair.split(";")
    titles = ["stuck devices, map", *(METHODS.get(each, each) for each in methods_asked)]
    table = Table("defects", "stuck", tuple(titles), BASIS)
    for share in options.shares.split(","):
        for seed in options.seeds.split(","):
            cells = [f"{100 * float(share):g} %, {seed}"]
            half = float(share) / 2
            defects = parse_rates(f"cells_off={half},cells_on={half},seed={seed}")
            for methods in methods_asked:
                start = time.process_time()
                program = repair(
                    replace(model.program, defects=defects),
                    model.target,
                    {name: layer.ideal for name, layer in model.tiles.items()},
                    parse_repair(methods),
                    squares,
                    text.name,
                )
                seconds = time.process_time() - start
                broken = CompiledModel(
                    program, model.target, from_module(source.module, source.tokenizer)
                )
                result = broken.validate(
                    options.text, tokens=options.tokens, window=options.tokens, instances=1
                )
                assert program.repair is not None
                print(
                    f"{100 * float(share):4.1f} % stuck, map {seed}, {methods:12} "
                    f"error {program.repair.error:.5f} of {program.repair.error_without:.5f} | "
                    f"perplexity digital {result.digital_perplexity:.3f} "
                    f"analog {result.perplexity.mean:,.3f} KL {result.kl_divergence.mean:.4f} | "
                    f"{seconds:.0f} s of processor time to repair",
                    flush=True,
                )
                error = 100 * program.repair.error
                cells.append(f"{result.perplexity.mean:,.4g} ({error:.2g} %)")
            table.keep(*cells)
    table.finish(options.write)


if __name__ == "__main__":
    main()
