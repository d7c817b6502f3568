"""Which exact rewrites apply to a small random model of each family, on its page.

    python tests/benchmarks/rewrites.py [--write]

``tests/rewrite/test_families.py`` holds every row.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tables import Table, add_option

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from rewritten import EVERY, HEADINGS, look_at

BASIS = (
    "All figures: derived, from a small random model of each family, but the difference, which is "
    "measured in float32 by the root mean square of the logits."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_option(parser)
    options = parser.parse_args()
    table = Table("rewrites", "rewrites", HEADINGS, BASIS, words=5, words_after=1)
    table.begin()
    for family in EVERY:
        table.add(*look_at(family).row)
    table.finish(options.write)


if __name__ == "__main__":
    main()
