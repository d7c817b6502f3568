"""From a configuration to a verified mapping, at every size: tiles, proof, seconds, memory.

    python tests/benchmarks/scale.py [--model NAME]... [--target T]... [--set OPTION=V]... [--write]

Models are those of ``examples/configs``. Each configuration is a process of its own, so that
seconds and memory include the imports and nothing is warm. Seconds of a clock on the wall:
*imports* and the start of Python, *meta model* the model without weights, *graph* the trace of its
layers and the matrices in it, *mapping* all passes and the rules of a legal program after each,
*levers* other options tried, *written* the folder, *total* all of these, *mapped* all until the
mapping is there. *CPU* is the processor time of all of it, *peak MB* the largest resident size.
Derived: matrices (experts counted apart), blocks, tiles, bound. Measured: the rest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tables import Table, add_option

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
MODELS = (
    "smollm2-135m", "gpt2", "gpt2-xl", "qwen2.5-0.5b", "llama-3.2-1b", "phi-3-mini", "llama-3-8b",
    "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3", "one-trillion",
)  # fmt: skip
TALL = "afm-512-projected at 1152 x 256"
TARGETS: dict[str, tuple[str, dict[str, object]]] = {
    "afm-512-projected": ("afm-512-projected", {}),
    "hermes-64": ("hermes-64", {}),
    TALL: ("afm-512-projected", {"target.crossbar.rows": 1152, "target.crossbar.columns": 256}),
}
COLUMNS = (
    "model", "target", "parameters", "matrices", "blocks", "tiles", "bound", "gap", "imports",
    "meta model", "graph", "mapping", "levers", "written", "mapped", "total", "CPU", "peak MB",
)  # fmt: skip

SHOWN = (
    "configuration", "target", "weights", "tiles, the fewest", "seconds", "processor time", "MB",
)  # fmt: skip
BASIS = "Weights, tiles and their bounds: derived. Seconds, processor time and memory: measured."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=V")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args()
    if options.one:
        name, hardware = options.one
        print(json.dumps(measured(name, hardware, options.set)))
        return
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---:|" * (len(COLUMNS) - 2))
    table = Table("scale", "scale", SHOWN, BASIS, words=2)
    for model in options.model or MODELS:
        for target in options.target or TARGETS:
            settings = [word for each in options.set for word in ("--set", each)]
            command = [sys.executable, __file__, "--one", model, target, *settings]
            start = time.perf_counter()
            ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            total, row = time.perf_counter() - start, json.loads(ran.stdout)
            print(_line(row, total), flush=True)
            table.keep(*_shown(row, total))
    table.finish(options.write)


def measured(name: str, target: str, settings: list[str]) -> dict[str, Any]:
    """One configuration, in this process."""
    start = time.perf_counter()
    import afmc
    from afmc.cli.settings import parse_settings

    hardware, overrides = TARGETS[target]
    model = afmc.compile(
        CONFIGS / f"{name}.json",
        hardware,
        shapes_only=True,
        settings={**overrides, **parse_settings(settings)},
        level=0,
    )
    compiled = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "out")
    written = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = model.inspect()
    assert found["weights_analog"] + found["weights_digital"] - found["weights_on_both_sides"] == (
        model.program.model.parameters
    )
    return {
        **{key: found[key] for key in ("blocks", "tiles_used", "tiles_lower_bound", "gap")},
        "model": name,
        "target": target,
        "parameters": model.program.model.parameters,
        "matrices": sum(matrix.copies for matrix in model.program.matrices),
        "stages": found["stages_s"],
        "compiled": compiled - start,
        "written": written - compiled,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
    }


def _shown(row: dict[str, Any], total: float) -> tuple[str, ...]:
    """A row of the page."""
    proven = row["tiles_used"] == row["tiles_lower_bound"]
    tiles = f"{row['tiles_used']:,}" + (
        "" if proven else f" (at least {row['tiles_lower_bound']:,})"
    )
    figures = (f"{total:.1f}", f"{row['cpu']:.1f}", f"{row['peak']:,.0f}")
    return (row["model"], f"`{row['target']}`", f"{row['parameters']:,}", tiles, *figures)


def _line(row: dict[str, Any], total: float) -> str:
    stages = row["stages"]
    written, levers = row["written"], stages["levers"]
    imports = total - written - sum(stages.values())
    seconds = (
        imports, stages["load"], stages["export"], stages["passes"], levers, written,
        total - written - levers, total, row["cpu"],
    )  # fmt: skip
    counts = ("parameters", "matrices", "blocks", "tiles_used", "tiles_lower_bound")
    cells = [
        row["model"],
        row["target"],
        *(f"{row[key]:,}" for key in counts),
        f"{100 * row['gap']:.2f} %",
        *(f"{each:.1f}" for each in seconds),
        f"{row['peak']:,.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
