"""A map of broken cells: what a chip's test found, as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afmc.errors import OptionError, did_you_mean

ALL = -1
COLUMNS = ("chip", "tile", "tier", "row", "column", "polarity", "device", "state")
STUCK = np.dtype([(name, np.int64) for name in COLUMNS])
POLARITIES = {"+": 0, "-": 1, "*": ALL}
STATES = {"off": 0, "on": 1}


@dataclass(frozen=True)
class Defects:
    """Cells that stay at one state, whatever is written to them."""

    stuck: NDArray[np.void]
    """Rows of `STUCK`: where, -1 for all, and 0 for the smallest state or 1 for the largest. What
    is said of a cell by itself holds against what is said of its row or column, and else the
    last."""
    name: str = "defects"


def load_defects(file: str | Path) -> Defects:
    """Reads a CSV file with the columns of `COLUMNS`; ``*`` means all.

    Rows and columns count in weights from 0; `polarity` is ``+`` or ``-``, `device` counts from the
    most significant, `state` is ``off`` or ``on``. Raises OptionError in one sentence.
    """
    file = Path(file)
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(_rows(csv.reader(stream), str(file)))
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{file} is not a CSV file: {error}.") from error
    return Defects(np.array(rows, dtype=STUCK), str(file))


def _rows(reader: Iterator[list[str]], file: str) -> Iterator[tuple[int, ...]]:
    header = [name.strip() for name in next(reader, [])]
    for name in header:
        if name not in COLUMNS:
            raise OptionError(
                f"{file}:1 has an unknown column '{name}'." + did_you_mean(name, COLUMNS)
            )
    for name in header:
        if header.count(name) > 1:
            raise OptionError(f"{file}:1 has the column '{name}' twice.")
    if "state" not in header:
        raise OptionError(f"{file}:1 must name the columns, for instance {','.join(COLUMNS)}.")
    for number, cells in enumerate(reader, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise OptionError(
                f"{file}:{number} has {len(cells)} cells, but the header has {len(header)}."
            )
        given = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        yield tuple(_value(name, given.get(name, "*"), f"{file}:{number}") for name in COLUMNS)


def _value(name: str, text: str, where: str) -> int:
    words = {"polarity": POLARITIES, "state": STATES}.get(name)
    if words is not None:
        if text not in words:
            raise OptionError(
                f"{where}: {name} must be one of {', '.join(words)}, but is '{text}'."
            )
        return words[text]
    if text == "*":
        return ALL
    if not text.isdecimal() or len(text) > 9:
        raise OptionError(f"{where}: {name} must be a whole number or *, but is '{text}'.")
    return int(text)
