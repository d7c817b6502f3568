"""What is broken: a map from a chip's test as a table, or rates for a random map from a seed."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afmc.common.regular import NotRegular, check_regular
from afmc.errors import OptionError, did_you_mean
from afmc.targets import Target

ALL = -1
COLUMNS = ("chip", "tile", "tier", "row", "column", "polarity", "device", "state")
DEFECT = np.dtype([(name, "<i4") for name in COLUMNS])
POLARITIES = {"+": 0, "-": 1, "*": ALL}
OFF, ON, DEAD = 0, 1, 2
_LARGEST = 1 << 30
"""Bytes of a table; a line of a cell takes about 30."""
STATES = {"off": OFF, "on": ON, "dead": DEAD}

Entries = NDArray[np.void]
"""Rows of `DEFECT`: where, -1 for all, and what."""


@dataclass(frozen=True)
class Rates:
    """A random map: which share of everything is broken, each by itself.

    What is broken follows from the seed and the address alone (`afmc.hardware.defect_map`).
    """

    chips: float = 0.0
    """Dead chips."""
    tiles: float = 0.0
    """Dead tiles, all their tiers with them."""
    tiers: float = 0.0
    """Dead tiers of tiles."""
    rows: float = 0.0
    """Dead rows of a crossbar."""
    columns: float = 0.0
    """Dead columns of a crossbar, all devices of a weight together."""
    cells_off: float = 0.0
    """Devices that stay at the smallest state."""
    cells_on: float = 0.0
    """Devices that stay at the largest state."""
    seed: int = 0

    def __str__(self) -> str:
        given = [f"{key}={value:g}" for key, value in self.shares.items() if value]
        return ",".join([*given, f"seed={self.seed}"])

    @property
    def shares(self) -> dict[str, float]:
        """All rates by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seed"}

    @property
    def cells(self) -> float:
        """Share of the devices that are stuck."""
        return self.cells_off + self.cells_on


@dataclass(frozen=True, eq=False)
class Defects:
    """What is broken in a system: dead things, which hold nothing, and stuck cells, which stay at
    one state whatever is written to them."""

    table: Entries = field(default_factory=lambda: np.zeros(0, DEFECT))
    """What is said of a cell by itself holds against what is said of its row or column, that
    against the rates, and else the last."""
    rates: Rates | None = None
    """A random map besides."""
    name: str = "defects"

    @property
    def dead(self) -> Entries:
        return self.table[self.table["state"] == DEAD]

    @property
    def stuck(self) -> Entries:
        return self.table[self.table["state"] != DEAD]

    @property
    def has_stuck_cells(self) -> bool:
        return bool(len(self.stuck)) or bool(self.rates and self.rates.cells)


def what_is_left(target: Target, *maps: Defects | None) -> tuple[str, ...]:
    """A sentence on cells that are stuck where so many are that little or nothing is left."""
    works = max(0.0, 1 - target.device.stuck_off_rate - target.device.stuck_on_rate)
    for each in maps:
        if each is not None:
            works *= _working(each)
    if works > 0.5:
        return ()
    left = "nothing of the weights is" if works < 0.01 else "little of the weights is"
    return (f"{100 * (1 - works):.3g} % of the devices are stuck: {left} left",)


def _working(defects: Defects) -> float:
    """Share of the devices that are not stuck; of those in a table, if it says so of all."""
    table = defects.stuck
    if np.logical_and.reduce([table[key] == ALL for key in COLUMNS[:-1]]).any():
        return 0.0
    return 1.0 if defects.rates is None else max(0.0, 1 - defects.rates.cells)


def gather_defects(
    given: str | Path | Defects | Sequence[str | Path | Defects] | None, target: Target
) -> Defects | None:
    """One map from all that is given: files, rates (``"tiles=0.01,seed=7"``) and maps.

    None for nothing. Raises OptionError, in one sentence, also for what the target does not have.
    """
    each = [given] if isinstance(given, str | Path | Defects) else list(given or ())
    maps = [
        _checked(one, target) if isinstance(one, Defects) else load_defects(one, target)
        for one in each
    ]
    if len(maps) < 2:
        return maps[0] if maps else None
    random = [one.rates for one in maps if one.rates is not None]
    if len(random) > 1:
        raise OptionError(
            f"{' and '.join(map(str, random))} are two random maps; put all rates into one."
        )
    table = np.concatenate([one.table for one in maps])
    return Defects(table, random[0] if random else None, " + ".join(one.name for one in maps))


def load_defects(source: str | Path, target: Target) -> Defects:
    """A CSV file with the columns of `COLUMNS`, or rates, ``KEY=RATE,...,seed=N``.

    In a file ``*`` and a column that is left out mean all. Chips, tiles, tiers, rows and columns
    (in weights) count from 0; `polarity` is ``+`` or ``-``; `device` counts from the most
    significant; `state` is ``off`` or ``on`` for cells that stay there, or ``dead`` for a chip,
    tile, tier, row or column of which nothing may be used. Raises OptionError in one sentence.
    """
    if "=" in str(source) and not Path(source).exists():
        return parse_rates(str(source))
    file = Path(source)
    try:
        check_regular(file, _LARGEST)
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = [*csv.reader(stream)] or [[]]
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}.") from error
    except NotRegular as error:
        raise OptionError(f"{file} {error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"{file} is not a CSV file: {error}.") from error
    return Defects(_table(header, rows, target, str(file)), name=str(file))


def parse_rates(text: str) -> Defects:
    """``cells_off=0.005,tiles=0.01,seed=7`` as a map. Raises OptionError in one sentence."""
    values: dict[str, Any] = {}
    known = [f.name for f in fields(Rates)]
    for part in text.split(","):
        key, equals, number = (each.strip() for each in part.partition("="))
        if not equals:
            raise OptionError(
                f"'{text}' is neither a file nor rates: write KEY=RATE, ... , for instance "
                f"cells_off=0.005,tiles=0.01,seed=7."
            )
        if key not in known:
            raise OptionError(
                f"the random map '{text}' has no '{key}'; there are {', '.join(known)}."
                f"{did_you_mean(key, known)}"
            )
        if key in values:
            raise OptionError(f"the random map '{text}' has '{key}' twice.")
        values[key] = _seed(number, text) if key == "seed" else _rate(key, number, text)
    rates = Rates(**values)
    if not any(rates.shares.values()):
        raise OptionError(f"the random map '{text}' breaks nothing: give it a rate above 0.")
    if rates.cells > 1:
        raise OptionError(
            f"the random map '{text}': cells_off and cells_on are shares of the same devices, but "
            f"add up to {rates.cells:g}."
        )
    return Defects(rates=rates, name=str(rates))


def _seed(number: str, text: str) -> int:
    if not number.isdecimal() or len(number) > 18:
        raise OptionError(
            f"the random map '{text}': seed must be a whole number, but is '{number}'."
        )
    return int(number)


def _rate(key: str, number: str, text: str) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= 1:
        raise OptionError(
            f"the random map '{text}': {key} must be between 0 and 1, but is '{number}'."
        )
    return rate


def _table(header: list[str], rows: list[list[str]], target: Target, file: str) -> Entries:
    """The entries of a file. Column by column: a chip's test may list millions of cells."""
    header = [name.strip() for name in header]
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
    numbered = [(number, row) for number, row in enumerate(rows, start=2) if "".join(row).strip()]
    for number, row in numbered:
        if len(row) != len(header):
            raise OptionError(
                f"{file}:{number} has {len(row)} cells, but the header has {len(header)}."
            )
    table = np.full(len(numbered), ALL, DEFECT)
    where = [f"{file}:{number}" for number, _ in numbered]
    columns = zip(*(row for _, row in numbered), strict=True)
    for name, column in zip(header, columns, strict=bool(numbered)):
        values = {text: _value(name, text.strip()) for text in set(column)}
        for text, value in values.items():
            if isinstance(value, str):
                raise OptionError(f"{where[column.index(text)]}: {value}")
        table[name] = [values[text] for text in column]
    _check(table, target, where)
    return table


def _value(name: str, text: str) -> int | str:
    """A number, or what is wrong, in a sentence."""
    words = {"polarity": POLARITIES, "state": STATES}.get(name)
    if words is not None:
        if text not in words:
            return f"{name} must be one of {', '.join(words)}, but is '{text}'."
        return words[text]
    if text == "*":
        return ALL
    if not text.isdecimal() or len(text) > 9:
        return f"{name} must be a whole number or *, but is '{text}'."
    return int(text)


def _checked(defects: Defects, target: Target) -> Defects:
    """A map that did not come from a file; entries count from 0."""
    if defects.table.dtype != DEFECT:
        raise OptionError(
            f"{defects.name}: the table of a map has the dtype afmc.hardware.defects.DEFECT."
        )
    _check(defects.table, target, [f"{defects.name}, entry {i}" for i in range(len(defects.table))])
    return replace(defects)


def _check(table: Entries, target: Target, where: Sequence[str]) -> None:
    """Raises OptionError for the first entry that makes no sense on a target."""
    dead = table["state"] == DEAD
    for wrong, sentence in (
        (
            dead & ((table["polarity"] != ALL) | (table["device"] != ALL)),
            "what is dead has no polarity and no device; leave them out, or write *.",
        ),
        (
            dead & (table["row"] != ALL) & (table["column"] != ALL),
            "a row and a column together are one cell, which can be off or on but not dead.",
        ),
        (
            (table["polarity"] == POLARITIES["-"]) & (target.device.encoding == "offset"),
            f"polarity is -, but a weight of {target.name} has one polarity and a reference "
            f"column.",
        ),
    ):
        if wrong.any():
            raise OptionError(f"{where[int(wrong.argmax())]}: {sentence}")
    for key, limit, owner in (
        ("chip", target.system.chips, "the system has"),
        ("tile", target.chip.tiles, f"a chip of {target.name} has"),
        ("tier", target.tile.tiers, f"a tile of {target.name} has"),
        ("row", target.crossbar.rows, f"a crossbar of {target.name} has"),
        ("column", target.crossbar.columns, f"a crossbar of {target.name} has"),
        ("device", target.device.devices_per_polarity, f"a polarity of {target.name} has"),
    ):
        outside = table[key] >= (math.inf if limit is None else limit)
        if outside.any():
            first = int(outside.argmax())
            raise OptionError(
                f"{where[first]}: {key} is {table[key][first]}, but {owner} {key}s 0 to "
                f"{int(limit or 0) - 1}."
            )
