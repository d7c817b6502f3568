"""What hardware-aware training is worth: the table of ``examples/robustness.py``, on its page.

python tests/benchmarks/demo.py [--instances 10] [--write]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tables import Table, add_option

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from robustness import HEADINGS, MODELS, TARGETS, cells_of, measure

BASIS = (
    "Perplexity: measured, in simulation, over 4,096 tokens; mean and standard deviation over "
    "instances, seed 0."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=10)
    add_option(parser)
    options = parser.parse_args()
    table = Table("accuracy", "demo", HEADINGS, BASIS, words=2)
    table.begin()
    for row in measure({name: name for name in MODELS}, TARGETS, options.instances, seed=0):
        table.add(*cells_of(row))
    table.finish(options.write)


if __name__ == "__main__":
    main()
