"""How a table that afmc wrote is told from other files with its ending."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from afmc.common.files import Kind
from afmc.common.json_schema import Field

_LONGEST = 1 << 20


def kind_of_table(name: str, columns: Sequence[Field], ending: str) -> Kind:
    """A file that holds rows with these columns, in this order."""
    names = [column.name for column in columns]
    return Kind(
        f"a {ending} file of the {name} that afmc wrote",
        lambda file: names == _names_in(file, ending),
    )


def _names_in(file: Path, ending: str) -> list[str]:
    """The columns' names in a table's first row; empty for anything else."""
    if ending == ".parquet":
        return _names_in_parquet(file)
    at = 1 if ending == ".json" else 0
    with file.open("rb") as stream:
        lines = list(islice(iter(lambda: stream.readline(_LONGEST), b""), at + 1))
    try:
        line = lines[at].decode()
        return (
            line.rstrip("\n").split(",")
            if ending == ".csv"
            else list(json.loads(line.rstrip(",\n")))
        )
    except (IndexError, ValueError, TypeError, RecursionError):
        return []


def _names_in_parquet(file: Path) -> list[str]:
    from pyarrow import ArrowException, parquet

    try:
        return list(parquet.read_schema(file).names)
    except ArrowException:
        return []
