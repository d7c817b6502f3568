"""What a token costs, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from afmc.costs.figures import Figure
from afmc.costs.schedule import Schedule, Step
from afmc.costs.workload import Workload
from afmc.program.model import ONE, Unit

SCHEMA_VERSION = 1

READING, WRITING = "reading keys and values", "writing keys and values"
CACHE = (READING, WRITING)

Where = Literal["tiles", "digital", "memory", "links", "static"]


@dataclass(frozen=True)
class Part:
    """One kind of event, how often it happens for a token, and what one of it takes."""

    name: str
    group: Where
    count: float
    """Events for a token."""
    unit: str
    """What is counted."""
    figure: Figure | None
    """The energy of one event, in the unit at the end of its key; None where nothing is known."""
    energy_nJ: float | None
    latency_ns: float | None = None
    """Time of a token that the critical path spends in it; None where it is not on it."""

    def to_json(self) -> dict[str, Any]:
        known = self.figure
        return {
            "name": self.name,
            "group": self.group,
            "energy_nJ": self.energy_nJ,
            "latency_ns": self.latency_ns,
            "count": self.count,
            "unit": self.unit,
            "figure": known and known.key,
            "value": known and known.value,
            "basis": known and known.basis,
            "source": known and known.source,
        }


@dataclass(frozen=True)
class OfMatrix:
    """What the products of a matrix take for a token."""

    name: str
    energy_nJ: float
    latency_ns: float


@dataclass(frozen=True)
class Efficiency:
    """Operations for each joule, in 10^12 a watt-second, by what is included."""

    tile_peak_TOPS_W: float | None
    """A whole crossbar, all of it in use."""
    tiles_TOPS_W: float | None
    """The reads of a token, as these matrices fill the crossbars."""
    system_TOPS_W: float
    """The products with weights of a token, and everything that it takes."""


@dataclass(frozen=True)
class Costs:
    target: str
    workload: Workload
    parts: tuple[Part, ...]
    matrices: tuple[OfMatrix, ...]
    schedule: Schedule
    latency_ns: float
    """Time of a step: a token of each sequence, or all prompts."""
    tokens_per_s: float
    area_mm2: float | None
    efficiency: Efficiency
    missing: tuple[str, ...]
    """Sentences: what is left out because nobody has published it."""
    unit: Unit = "token"
    """What all is for that is said of a token."""

    @property
    def a_unit(self) -> str:
        """``a token`` or ``an inference``."""
        return ONE[self.unit]

    @property
    def energy_nJ(self) -> float:
        """Energy of a token: the sum of the parts that are known."""
        return sum(part.energy_nJ for part in self.parts if part.energy_nJ is not None)

    @property
    def assumed_nJ(self) -> float:
        """Of the energy, what rests on figures that are assumed."""
        return self._sum(lambda part: part.figure is not None and part.figure.basis == "assumed")

    @property
    def cache_nJ(self) -> float:
        """Of the energy, what reading and writing keys and values takes."""
        return self._sum(lambda part: part.group == "memory" and part.name in CACHE)

    @property
    def cache(self) -> Figure | None:
        """The figure of the memory of keys and values; None without any."""
        return next((p.figure for p in self.parts if p.name in CACHE and p.energy_nJ), None)

    def _sum(self, wanted: Callable[[Part], bool]) -> float:
        return sum(part.energy_nJ or 0.0 for part in self.parts if wanted(part))

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `afmc costs --json` prints it. All for one token, but `latency_ns`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "unit": self.unit,
            "workload": asdict(self.workload),
            "energy_nJ": self.energy_nJ,
            "assumed_nJ": self.assumed_nJ,
            "cache_nJ": self.cache_nJ,
            "latency_ns": self.latency_ns,
            "token_latency_ns": self.schedule.latency_ns,
            "interval_ns": self.schedule.interval_ns,
            "bottleneck": self.schedule.bottleneck,
            "busy": [asdict(each) for each in self.schedule.busy],
            "tokens_per_s": self.tokens_per_s,
            "area_mm2": self.area_mm2,
            "efficiency": asdict(self.efficiency),
            "parts": [part.to_json() for part in self.parts],
            "matrices": [asdict(each) for each in self.matrices],
            "critical_path": [_step(step) for step in self.schedule.critical_path],
            "missing": list(self.missing),
        }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "start_ns": step.start_ns,
        "end_ns": step.end_ns,
    }
