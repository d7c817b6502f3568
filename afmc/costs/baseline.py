"""Digital hardware under the same workload: what a step takes, by a formula fitted on it.

Energy of a step: bytes of the weights and of keys and values that are read, operations of all
products, and idle power for as long as it takes. Time of a step: an overhead, for each layer the
longer of its least time and of reading its weights, and reading keys and values; each memory at the
share of its bandwidth that it reaches; at least the arithmetic at its peak. Weights of experts are
read as far as the sequences of a batch are expected to need them.

A prompt is one step. What is left out is what the description of the baseline says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from afmc.costs.figures import Figure
from afmc.costs.parts import SCHEMA_VERSION, Part, Where
from afmc.costs.workload import Workload, check_context, usual_workloads
from afmc.program.program import Program
from afmc.targets import Baseline


@dataclass(frozen=True)
class BaselineCosts:
    target: str
    workload: Workload
    parts: tuple[Part, ...]
    latency_ns: float
    """Time of a step."""
    tokens_per_s: float
    boundary: str
    """What is in these figures and what is not, in words."""

    @property
    def energy_nJ(self) -> float:
        """Energy of a token."""
        return sum(part.energy_nJ or 0.0 for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "workload": asdict(self.workload),
            "energy_nJ": self.energy_nJ,
            "latency_ns": self.latency_ns,
            "tokens_per_s": self.tokens_per_s,
            "parts": [part.to_json() for part in self.parts],
            "boundary": self.boundary,
        }


def estimate_baseline(
    program: Program, baseline: Baseline, workload: Workload | None = None
) -> BaselineCosts:
    """What a token costs on it. Weights and cache have 16 bits where the baseline's arithmetic is
    floating point, else 8.
    """
    asked = workload or usual_workloads([program.model])[0]
    check_context(asked, program.model)
    steps = _Step(program, baseline, asked)
    tokens = asked.tokens
    seconds = steps.seconds()
    return BaselineCosts(
        target=baseline.name,
        workload=asked,
        parts=tuple(steps.parts(tokens, seconds)),
        latency_ns=seconds * 1e9,
        tokens_per_s=tokens / seconds if seconds else 0.0,
        boundary=" ".join(baseline.description.split()),
    )


class _Step:
    """All tokens that go through at once."""

    def __init__(self, program: Program, baseline: Baseline, workload: Workload) -> None:
        self.own = {
            key: Figure(key, float(value), origin.basis, origin.source)
            for key, value, origin in baseline.figures()
            if isinstance(value, int | float)
        }
        self.bytes = 2 if "compute.flop_energy_pJ" in self.own else 1
        tokens = workload.tokens
        self.layers = max(1, sum(work.kind == "attention" for work in program.work))
        self.weights = self.bytes * sum(
            matrix.rows * matrix.cols * _touched(matrix.copies, matrix.per_token, tokens)
            for matrix in program.matrices
        )
        # A prompt's keys and values are read once for all of its tokens; see the fitted model.
        self.kept = self.bytes * sum(w.cached * workload.kept(w.window) for w in program.work)
        attention = sum(
            w.values + w.by_position * workload.positions(w.window)
            for w in program.work
            if w.kind == "attention"
        )
        self.macs = tokens * (sum(m.macs_per_token for m in program.matrices) + attention)

    def _value(self, key: str, otherwise: float) -> float:
        figure = self.own.get(key)
        return otherwise if figure is None else figure.value

    def seconds(self) -> float:
        bandwidth = self._value("memory.bandwidth_GB_s", 0.0) * 1e9
        weights = kept = 0.0
        if bandwidth:
            share = self._value("memory.weight_efficiency", 1.0)
            weights = self.weights / self.layers / (bandwidth * share)
            kept = self.kept / (bandwidth * self._value("memory.kv_efficiency", 1.0))
        peak = self._value("compute.fp16_TFLOPS" if self.bytes == 2 else "compute.int8_TOPS", 0.0)
        arithmetic = 2 * self.macs / (peak * 1e12) if peak else 0.0
        least = self._value("overhead.layer_us", 0.0) * 1e-6
        memory = self.layers * max(least, weights)
        overhead = self._value("overhead.step_ms", 0.0) * 1e-3
        return overhead + max(memory, arithmetic) + kept

    def parts(self, tokens: int, seconds: float) -> list[Part]:
        arithmetic = "compute.flop_energy_pJ" if self.bytes == 2 else "compute.mac_energy_fJ"
        scale, per, unit = (
            (1e-3, 2.0, "operations") if self.bytes == 2 else (1e-6, 1.0, "multiply-accumulates")
        )
        rows: list[tuple[str, Where, float, str, str, float]] = [
            ("products", "digital", per * self.macs, unit, arithmetic, scale),
            ("reading weights", "memory", self.weights, "bytes", "memory.weight_energy_pJ_B", 1e-3),
            (
                "reading keys and values",
                "memory",
                self.kept,
                "bytes",
                "memory.kv_energy_pJ_B",
                1e-3,
            ),
            ("idle power", "static", seconds * 1e9, "ns", "overhead.idle_power_W", 1.0),
        ]
        return [
            Part(
                name,
                group,
                count / tokens,
                unit,
                figure,
                None if figure is None else count / tokens * figure.value * factor,
            )
            for name, group, count, unit, key, factor in rows
            if (figure := self.own.get(key)) is not None or key.startswith("memory.")
        ]


def _touched(copies: int, per_token: float, tokens: int) -> float:
    """Experts of a bank that so many tokens are expected to need, each expert equally likely."""
    if copies == 1:
        return 1.0
    return float(copies * (1 - (1 - min(1.0, per_token / copies)) ** tokens))
