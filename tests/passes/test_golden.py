"""Whole small programs as text. `pytest --update-golden` writes them anew."""

from __future__ import annotations

import pytest
from printing import printed
from programs import compiled, llama
from syrupy.assertion import SnapshotAssertion

from afmc.targets import load_target

TARGET = load_target(
    "ideal-512",
    {"crossbar.rows": 32, "crossbar.columns": 48, "chip.tiles": 4, "tile.tiers": 2},
)
SETTINGS: dict[str, dict[str, object]] = {
    "defaults": {},
    "parallel, not merged": {"allocate.rule": "parallel", "merge.enabled": False},
    "balanced, lm_head digital": {"split.style": "balanced", "partition.digital": ("lm_head",)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_golden(name: str, snapshot: SnapshotAssertion) -> None:
    program = llama(layers=2, hidden=40, kv=8, wide=56, vocabulary=100)
    assert printed(compiled(program, TARGET, SETTINGS[name])) == snapshot
