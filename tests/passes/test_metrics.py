"""Tiles, bounds and gaps of real models' shapes: none becomes worse unseen.

They are in ``tests/benchmarks/golden_metrics.json``; ``pytest --update-golden`` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import compiled
from shapes import MODELS

from afmc.targets import load_target

GOLDEN = Path(__file__).parents[1] / "benchmarks" / "golden_metrics.json"
TOLERANCE = 0.002
"""Share by which tiles may exceed theirs, and a bound may fall short; and what a gap may grow."""
FIXED = {"merge.enabled": False, "split.style": "full"}
CASES: tuple[tuple[str, dict[str, object]], ...] = (
    ("chosen, exclusive", {"allocate.rule": "exclusive"}),
    ("chosen, parallel", {"allocate.rule": "parallel"}),
    ("cut into whole tiles, parallel", {**FIXED, "allocate.rule": "parallel"}),
    ("cut into whole tiles, serial", {**FIXED, "allocate.rule": "serial"}),
)
NAMES = ("SmolLM-135M", "GPT-2 124M", "Qwen2.5-0.5B")


def measured() -> dict[str, dict[str, float]]:
    found = {}
    for name in NAMES:
        for case, settings in CASES:
            proof = compiled(MODELS[name](), load_target("ideal-512"), settings).allocation
            assert proof is not None
            found[f"{name}, {case}"] = {
                "tiles": proof.tiles,
                "bound": proof.lower_bound,
                "gap": round(proof.gap, 6),
            }
    return found


def test_metrics_are_no_worse(pytestconfig: pytest.Config) -> None:
    found = measured()
    if pytestconfig.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert found.keys() == golden.keys()
    for name, ours in found.items():
        known = golden[name]
        assert ours["tiles"] <= known["tiles"] * (1 + TOLERANCE), name
        assert ours["bound"] >= known["bound"] * (1 - TOLERANCE), name
        assert ours["gap"] <= known["gap"] + TOLERANCE, name
