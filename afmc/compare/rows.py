"""Rows of a comparison: a figure, an option or a key with its value in each compile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    name: str
    values: tuple[Any, ...]
    """One a compile; None stands for what it does not have, or what is not known."""

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "values": list(self.values), "differs": self.differs}


def rows_of(each: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """A row for each key of any compile, in the order of the first that has it."""
    keys = dict.fromkeys(key for values in each for key in values)
    return tuple(Row(key, tuple(values.get(key) for values in each)) for key in keys)


def different(rows: Sequence[Row]) -> Iterator[Row]:
    return (row for row in rows if row.differs)
