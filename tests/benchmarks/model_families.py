"""What is found in a small random model of each family of language models, on its page.

    python tests/benchmarks/model_families.py [--write]

``tests/frontends/test_families.py`` holds every row, and that module and graph give the same on
tiles.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tables import Table, add_option

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from families import FAMILIES, HEADINGS, look_at

BASIS = "All figures: derived, from a small random model of each family."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_option(parser)
    options = parser.parse_args()
    table = Table("families", "families", HEADINGS, BASIS, words_after=1)
    table.begin()
    for family in FAMILIES:
        table.add(*look_at(family).row)
    table.finish(options.write)


if __name__ == "__main__":
    main()
