"""Costs and validations with made-up figures, in the shape in which they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afmc.artifact import Artifact


def costs(names: Iterable[str], context: int = 512, steps: int = 8) -> dict[str, Any]:
    """Of a token, with one part of which nothing is known."""
    names = list(names)

    def part(name: str, group: str, energy: float | None, latency: float | None) -> dict[str, Any]:
        return {
            "name": name,
            "group": group,
            "energy_nJ": energy,
            "latency_ns": latency,
            "count": 972.0,
            "unit": "reads",
            "figure": "tile.read_energy_nJ",
            "value": 5.24,
            "basis": "published",
            "source": "a paper",
        }

    path, at = [], 0.0
    for index in range(steps):
        kind = ("tile", "link", "digital")[index % 3]
        path.append(
            {
                "name": names[index % len(names)],
                "kind": kind,
                "start_ns": at,
                "end_ns": at + 100 + index % 7,
            }
        )
        at += 100 + index % 7
    return {
        "schema_version": 1,
        "workload": {"phase": "decode", "context": context, "batch": 1},
        "energy_nJ": 7000.0,
        "latency_ns": at,
        "interval_ns": 133.0,
        "tokens_per_s": 1e9 / at if at else None,
        "area_mm2": None,
        "parts": [
            part("tile reads", "tiles", 5000.0, 0.6 * at),
            part("attention products", "digital", 1200.0, 0.3 * at),
            part("norms", "digital", 700.0, 0.1 * at),
            part("adds of row cuts", "digital", 100.0, 0.0),
            part("chip-to-chip links", "links", None, None),
        ],
        "matrices": [
            {"name": name, "energy_nJ": 1.0 + index, "latency_ns": 2.0}
            for index, name in enumerate(names)
        ],
        "critical_path": path,
        "missing": ["nothing is known of chip-to-chip links: left out"],
    }


def validation(artifact: Artifact, conditions: int = 1) -> dict[str, Any]:
    """Of this model on this target; more conditions are later and hotter."""

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
        "schema_version": 1,
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
        "text": "letters.txt",
        "text_sha256": "0" * 64,
        "noise": True,
        "model": artifact.program.model.name,
        "model_sha256": artifact.program.model.sha256,
        "target": artifact.target.name,
    }
