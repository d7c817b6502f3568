"""Costs and validations with made-up figures, in the shape in which they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afmc.costs import Costs, Efficiency, Figure, OfMatrix, Part, Workload
from afmc.costs.parts import Where
from afmc.costs.schedule import Busy, Kind, Schedule, Step
from afmc.program.compiled import CompiledProgram
from afmc.program.program import SCHEMA_VERSION


def costs(names: Iterable[str], context: int = 512, steps: int = 8) -> Costs:
    """Costs of a token, with one part of which nothing is known."""
    names = list(names)
    figure = Figure("tile.read_energy_nJ", 5.24, "published", "a paper")

    def part(name: str, group: Where, energy: float | None, share: float | None) -> Part:
        latency = None if share is None else share * end
        return Part(name, group, 972.0, "reads", figure, energy, latency)

    path: list[Step] = []
    end = 0.0
    for index in range(steps):
        kind: Kind = ("tile", "link", "digital")[index % 3]
        path.append(Step(names[index % len(names)], kind, end, end + 100 + index % 7))
        end = path[-1].end_ns
    return Costs(
        target="a chip",
        workload=Workload(context=context),
        parts=(
            part("tile reads", "tiles", 5000.0, 0.6),
            part("attention products", "digital", 1200.0, 0.3),
            part("norms", "digital", 700.0, 0.1),
            part("adds of row cuts", "digital", 100.0, 0.0),
            part("chip-to-chip links", "links", None, None),
        ),
        matrices=tuple(OfMatrix(name, 1.0 + index, 2.0) for index, name in enumerate(names)),
        schedule=Schedule(end, 133.0, "tiles", (Busy("tiles", 133.0),), tuple(path), tuple(path)),
        latency_ns=end,
        tokens_per_s=1e9 / end if end else 0.0,
        area_mm2=None,
        efficiency=Efficiency(None, None, 1.0),
        missing=("nothing is known of chip-to-chip links: left out",),
    )


def validation(artifact: CompiledProgram, conditions: int = 1) -> dict[str, Any]:
    """Validation of this model on this target; more conditions are later and hotter."""

    def estimate(mean: float, spread: float) -> dict[str, Any]:
        return {
            "mean": mean,
            "std": spread,
            "interval_95": [mean - 2.5 * spread, mean + 2.5 * spread],
            "values": [mean - spread, mean, mean + spread],
        }

    found = [
        {
            "at_s": 86400.0 * 30 ** (index // 2) if index > 1 else 0.0,
            "temperature_C": 85.0 if index % 2 else 25.0,
            "compensation": "tile",
            "calibration_probes": 0,
            "analog": {"perplexity": estimate(20.0 * (1 + index) ** 2, 1.5 * (1 + index))},
            "kl_divergence": estimate(0.1 * (1 + index), 0.01),
            "top1_agreement": estimate(0.9 / (1 + index), 0.01),
        }
        for index in range(conditions)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "digital": {"perplexity": 13.82},
        **found[0],
        "conditions": found,
        "tokens": 1024,
        "scored_tokens": 1022,
        "window": 512,
        "instances": 3,
        "seed": 0,
        "defects": None,
        "overrides": {},
        "notes": ["a note on devices"],
        "matrices": [
            {"name": matrix.name, "relative_error": estimate(0.01 * (1 + index % 30), 0.001)}
            for index, matrix in enumerate(artifact.program.analog)
        ],
        "text": "letters.txt",
        "text_sha256": "0" * 64,
        "simulation_tokens_per_s": {"digital": {"mean": 2.0}, "analog": {"mean": 1.0}},
        "programming_s": 0.1,
        "wall_s": 60.0,
        "noise": True,
        "model": artifact.program.model.name,
        "model_sha256": artifact.program.model.sha256,
        "target": artifact.target.name,
    }
