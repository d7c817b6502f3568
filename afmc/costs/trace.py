"""A token as a trace that Perfetto and chrome://tracing open: rows for each kind of resource."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from afmc.costs.parts import SCHEMA_VERSION, Costs
from afmc.costs.schedule import Kind, Step

_KINDS: tuple[Kind, ...] = ("tile", "digital", "memory", "link")
PROCESS = 1  # 0 is the idle process to viewers, and thread 0 its thread


def trace(costs: Costs) -> dict[str, Any]:
    """Complete events ("ph": "X") in microseconds, rounded to nanoseconds, which is what viewers
    resolve; the exact times are in `args`, and how much of a step is on the critical path.

    A kind has as many rows as steps of it are under way at once, so that no two steps of a row
    overlap: viewers draw such as if one had called the other.
    """
    critical = {step.name: step.ns for step in costs.schedule.critical_path}
    events, rows = [], list[str]()
    for kind in _KINDS:
        ends: list[int] = []  # of the last step of each lane
        for step in (each for each in costs.schedule.steps if each.kind == kind):
            start, end = round(step.start_ns), round(step.end_ns)
            lane = next((n for n, last in enumerate(ends) if last <= start), len(ends))
            if lane == len(ends):
                ends.append(end)
            else:
                ends[lane] = end
            row = len(rows) + lane + 1
            events.append(_event(step, start, end, row, critical.get(step.name, 0.0)))
        rows += [kind if not lane else f"{kind} {lane + 1}" for lane in range(len(ends))]
    names = [_metadata("process_name", 0, {"name": costs.target})]
    for row, name in enumerate(rows, 1):
        names.append(_metadata("thread_name", row, {"name": name}))
        names.append(_metadata("thread_sort_index", row, {"sort_index": row}))
    return {
        "displayTimeUnit": "ns",
        "otherData": {
            "schema_version": SCHEMA_VERSION,
            "target": costs.target,
            "workload": asdict(costs.workload),
        },
        "traceEvents": [*names, *sorted(events, key=lambda event: (event["ts"], event["tid"]))],
    }


def _metadata(name: str, row: int, values: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": PROCESS, "tid": row, "args": values}


def _event(step: Step, start: int, end: int, row: int, critical_ns: float) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": step.name,
        "cat": step.kind,
        "ts": start / 1e3,
        "dur": (end - start) / 1e3,
        "pid": PROCESS,
        "tid": row,
        "args": {"start_ns": step.start_ns, "ns": step.ns, "critical_ns": critical_ns},
    }
