"""Energy and time of a token, by model, context and target: the table of docs/results/costs.md.

    python tests/benchmarks/token_costs.py [--model NAME]... [--target T]... [--write]

Models are those of ``examples/configs``, mapped without their weights; decode, batch 1. Derived
from the mapping and the figures of the target; what is left out is what ``afmc costs`` names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tables import Table, add_option

import afmc
from afmc.common.numbers import nanojoules, nanoseconds
from afmc.costs import Workload, estimate, estimate_baseline
from afmc.targets import Baseline
from afmc.targets.loader import load_description

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
MODELS = ("llama-3.2-1b", "phi-3-mini")
TARGETS = ("hermes-64", "pcm-34", "afm-512-projected", "moe-3d", "h100", "int8-dimc")

BASIS = (
    "Energies and times: derived from the mapping and each target's figures, whose own basis "
    "`afmc costs` prints; what no source states is omitted there and listed."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append")
    parser.add_argument("--target", action="append")
    parser.add_argument("--context", action="append", type=int)
    add_option(parser)
    options = parser.parse_args()
    models, contexts = options.model or MODELS, options.context or (512, 2048)
    columns = [f"{model}, {context:,}" for model in models for context in contexts]
    table = Table("costs", "token", ("target", *columns), BASIS)
    table.begin()
    for name in options.target or TARGETS:
        cells = [cell for model in models for cell in row(model, name, contexts)]
        table.add(f"`{name}`", *cells)
    table.finish(options.write)


def row(model: str, name: str, contexts: Sequence[int]) -> list[str]:
    hardware = load_description(name)
    # A baseline needs the matrices alone, which no target changes.
    on = "ideal-512" if isinstance(hardware, Baseline) else name
    program = afmc.compile(CONFIGS / f"{model}.json", on, shapes_only=True, level=0).program
    found = []
    for context in contexts:
        workload = Workload(context=context)
        costs = (
            estimate_baseline(program, hardware, workload)
            if isinstance(hardware, Baseline)
            else estimate(program, hardware, workload)
        )
        found.append(f"{nanojoules(costs.energy_nJ)}, {nanoseconds(costs.latency_ns)}")
    return found


if __name__ == "__main__":
    main()
