"""A token as a trace that Perfetto and chrome://tracing open: a row for each kind of resource."""

from __future__ import annotations

from typing import Any

from afmc.costs.parts import Costs

_ROWS = ("tile", "digital", "memory", "link")


def trace(costs: Costs) -> dict[str, Any]:
    """Complete events ("ph": "X") in microseconds; `critical_ns` is how much
    of a step is on the critical path."""
    critical = {step.name: step.ns for step in costs.schedule.critical_path}
    names: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": costs.target}}
    ]
    names += [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": row, "args": {"name": kind}}
        for row, kind in enumerate(_ROWS)
    ]
    steps = [
        {
            "ph": "X",
            "name": step.name,
            "cat": step.kind,
            "ts": step.start_ns / 1e3,
            "dur": step.ns / 1e3,
            "pid": 0,
            "tid": _ROWS.index(step.kind),
            "args": {"ns": step.ns, "critical_ns": critical.get(step.name, 0.0)},
        }
        for step in costs.schedule.steps
    ]
    return {"displayTimeUnit": "ns", "traceEvents": [*names, *steps]}
