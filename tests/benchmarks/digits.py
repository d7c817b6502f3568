"""Classifiers of handwritten digits on noisy tiles over time, on their page.

    python tests/benchmarks/digits.py --train DIGITS --test MNIST [--write]

The folders are those of ``examples/mnist.py``, which this runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tables import Table, add_option

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import mnist

HEADINGS = (
    "network", "weights", "tiles", "digital", "just programmed", "1 hour", "1 day", "30 days",
    "1 year",
)  # fmt: skip
NAMES = {"mlp": "perceptron", "cnn": "convolutions"}
BASIS = (
    "Accuracy: measured, in simulation, on `hermes-64` with its own compensation; mean and "
    "standard deviation over instances. Weights and tiles: derived."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    mnist.add_options(parser)
    add_option(parser)
    options = parser.parse_args()
    table = Table("accuracy", "digits", HEADINGS, BASIS)
    table.begin()
    for found in mnist.measured(options):
        accuracies = [each.accuracy for each in found.result.outcomes]
        shown = (f"{100 * each.mean:.2f} ± {100 * (each.std or 0.0):.2f}" for each in accuracies)
        digital = f"{found.result.digital_accuracy:.2%}".replace("%", " %")
        sizes = (f"{found.weights:,}", str(found.tiles), digital)
        table.add(NAMES[found.name], *sizes, *shown)
    table.finish(options.write)


if __name__ == "__main__":
    main()
