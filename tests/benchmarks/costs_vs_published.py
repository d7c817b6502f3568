"""The cost model's formulas against chips that were made, and against public models.

    python tests/benchmarks/costs_vs_published.py

Signed errors of prediction against publication, none left out. What kind of evidence a row is:

* defaults: what `afmc costs` says of a product where a target has no figure of its own. Nothing was
  fitted to the chip. These are the errors to expect on a chip that nobody has measured.
* held out: a constant from one chip, on another one. The regularity was seen before it was tested.
* in sample: the formula's constants describe the same chip.
* identity: both sides follow from the same publication; it tests our arithmetic.
* fitted elsewhere: a formula and its constants from others, on the hardware that they were fitted
  on, at points that they published.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tables import Table, add_option

import afmc
from afmc.costs import Workload, estimate_baseline
from afmc.costs.figures import Figures
from afmc.costs.product import Product
from afmc.targets import Target, load_target
from afmc.targets.loader import load_description
from afmc.targets.schema import Baseline

PJ_A_COLUMN = 48.8  # of a HERMES core: 12.48 nJ for 256 columns, JSSC 57, 1027 (2022)
CONFIGS = Path(__file__).parents[2] / "examples" / "configs"

HEADINGS = ("case", "evidence", "predicted", "published", "error")
BASIS = "Predicted: derived, from the figures that the evidence names. Published: by the sources."


@dataclass(frozen=True)
class Row:
    case: str
    evidence: str
    predicted: float
    published: float
    unit: str

    @property
    def error(self) -> float:
        return 100 * (self.predicted / self.published - 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_option(parser)
    options = parser.parse_args()
    rows = [*by_default(), *held_out(), *neurram(), *identities(), *fitted()]
    table = Table("costs", "published", HEADINGS, BASIS, words=2)
    table.begin()
    for row in rows:
        ours, theirs = (f"{each:.4g} {row.unit}" for each in (row.predicted, row.published))
        table.add(row.case, row.evidence, ours, theirs, f"{row.error:+.1f} %")
    table.finish(options.write)
    print()
    for evidence in dict.fromkeys(row.evidence for row in rows):
        errors = [abs(row.error) for row in rows if row.evidence == evidence]
        print(f"{evidence}: {len(errors)} points, mean {sum(errors) / len(errors):.1f} %, at most "
              f"{max(errors):.1f} %")  # fmt: skip
    print(
        "Not here, because what it takes is not public or not at hand: the ZigZag-IMC macros, the "
        "energy of NeuRRAM's input pulses, neuron energies of NeuRRAM but at 10 and 8 bits."
    )


def by_default() -> Iterator[Row]:
    """Energy and time of a product from the default figures alone."""
    for name in afmc.list_targets():
        target = load_description(name)
        if not isinstance(target, Target) or target.tile.read_energy_nJ is None:
            continue
        if target.optics is not None:
            continue  # light has neither these drivers nor these converters
        parts = {"tile.read_energy_nJ": None, "tile.read_latency_ns": None}
        counted = load_target(target, parts)
        product = Product(counted, Figures(counted))
        yield Row(f"{name}, energy of a product", "defaults", product.whole_nJ,
                  target.tile.read_energy_nJ, "nJ")  # fmt: skip
        if target.tile.read_latency_ns is not None:
            yield Row(f"{name}, time of a product", "defaults", product.read_ns,
                      target.tile.read_latency_ns, "ns")  # fmt: skip


def held_out() -> Iterator[Row]:
    """Energy of a conversion, from one HERMES core."""
    yield Row("HERMES core to HERMES chip, the same core", "in sample", 256 * PJ_A_COLUMN / 1e3,
              13.44, "nJ")  # fmt: skip
    yield Row("HERMES core to the tile of Nature 620, 768", "held out", 512 * PJ_A_COLUMN / 1e3,
              26.2, "nJ")  # fmt: skip
    yield Row("HERMES core to IBM's ALPINE model", "held out", 256 * PJ_A_COLUMN / 1e3, 10.24, "nJ")


def phases_of(bits: int) -> list[int]:
    """Magnitude bits of NeuRRAM's input, in one phase, or two for more than three bits."""
    magnitude = max(1, bits - 1)
    return [magnitude] if magnitude <= 3 else [-(-magnitude // 2), magnitude // 2]


def neurram() -> Iterator[Row]:
    """Wan 2022 with CiMLoop's constants: steps of integration, of conversion, and phases."""
    base = load_target("neurram-48")
    for out, inp in ((3, 1), (4, 2), (5, 3), (6, 4), (7, 5), (8, 6), (9, 7), (10, 8)):
        modes = (f"neurram-48:{mode}" for mode in base.modes)
        every = [base, *map(load_target, modes)]
        target = next(each for each in every if each.output.bits == out)
        parts = phases_of(inp)
        integrations = sum(2**each - 1 for each in parts)
        done = [sum(parts[:index]) for index in range(len(parts))]
        conversions = sum(out - each for each in done)
        us = 0.27 * integrations + 0.3 * conversions + 0.3 * len(parts)
        assert target.tile.read_latency_ns is not None
        yield Row(f"NeuRRAM, time of a product, {out} bits out, {inp} in", "in sample", us * 1e3,
                  target.tile.read_latency_ns, "ns")  # fmt: skip
    parts = phases_of(8)
    integrations, conversions = sum(2**each - 1 for each in parts), 10 + 10 - parts[0]
    neurons = 256 * (0.4 * conversions + 0.25 * integrations + 1.2 * 7)
    lines = 256 * (48 + 2.1 * 256) * 1e-3 * 1.8**2 * 7
    operations = 2 * 256 * 128
    yield Row("NeuRRAM, neurons, 10 bits out, 8 in", "in sample", 1e3 * neurons / operations, 75.9,
              "fJ/operation")  # fmt: skip
    yield Row("NeuRRAM, word lines, 10 bits out, 8 in", "in sample", 1e3 * lines / operations,
              50.5, "fJ/operation")  # fmt: skip


def identities() -> Iterator[Row]:
    hermes, mythic = load_target("hermes-64"), load_target("mythic-m1076")
    pace = load_target("photonic-pace-64")
    for target, case, published in (
        (hermes, "HERMES", 63.1),
        (mythic, "Mythic M1076", 25.0),
        (pace, "PACE", 8.19),
    ):
        tile = target.tile
        assert tile.read_latency_ns is not None
        operations = 2 * target.crossbar.rows * target.crossbar.columns * target.chip.tiles
        tops = operations / tile.read_latency_ns / 1e3
        yield Row(f"{case}, throughput", "identity", tops, published, "TOPS")
    assert hermes.tile.read_energy_nJ is not None
    yield Row("HERMES, efficiency", "identity", 2e-3 * 256 * 256 / hermes.tile.read_energy_nJ, 9.76,
              "TOPS/W")  # fmt: skip


def fitted() -> Iterator[Row]:
    """Joules a token of the GPU whose formula the baseline h100 has, with its own bandwidth."""
    baseline = load_description("h100")
    assert isinstance(baseline, Baseline) and baseline.memory is not None
    h200 = baseline.model_copy(
        update={"memory": baseline.memory.model_copy(update={"bandwidth_GB_s": 4800.0})}
    )
    published = {
        "llama-3.2-1b": {(512, 1): 0.73, (512, 8): 0.099, (512, 32): 0.032, (2048, 32): 0.054},
        "phi-3-mini": {(512, 1): 1.55, (512, 8): 0.28, (512, 32): 0.14, (2048, 32): 0.40},
    }
    for model, points in published.items():
        config = CONFIGS / f"{model}.json"
        program = afmc.compile(config, "ideal-512", shapes_only=True, level=0).program
        for (context, batch), joules in points.items():
            costs = estimate_baseline(program, h200, Workload(context=context, batch=batch))
            yield Row(f"H200, {model}, context {context}, batch {batch}", "fitted elsewhere",
                      costs.energy_nJ / 1e9, joules, "J")  # fmt: skip


if __name__ == "__main__":
    main()
