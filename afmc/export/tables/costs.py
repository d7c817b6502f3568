"""What a token costs as a table: a row for each part of each workload, on each hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from afmc.costs import BaselineCosts, Costs
from afmc.costs.schema import PART, TARGET, WORKLOAD
from afmc.export.tables.table import Table, Value, rows_schema

COSTS = "costs"
COLUMNS = (TARGET, *WORKLOAD, *PART)


def costs_table(costs: Sequence[Costs | BaselineCosts]) -> Table:
    rows: list[dict[str, Value]] = [
        {"target": each.target, **asdict(each.workload), **part.to_json()}
        for each in costs
        for part in each.parts
    ]
    values = {column.name: [row[column.name] for row in rows] for column in COLUMNS}
    place = np.arange(len(rows))
    return Table(
        COSTS,
        "part",
        COLUMNS,
        values,
        len(rows),
        lambda chosen: {column.name: place[chosen] for column in COLUMNS},
    )


def costs_table_schema() -> dict[str, Any]:
    return rows_schema(
        "afmc costs table",
        "What a token costs, part by part. Lines of .jsonl and rows of .csv and .parquet files are "
        "parts, with the same columns in this order; what is not known is null, in .csv empty.",
        "part",
        "One kind of event of a token, on one hardware under one workload.",
        COLUMNS,
    )
