"""What a program records of each step of its recovery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from afmc.program.recovery import Recovery, RecoveryStep


def did(
    recovery: Recovery, name: str, said: str, figures: Mapping[str, object] | None = None
) -> Recovery:
    """The recovery with a step that was taken."""
    return _with(recovery, RecoveryStep(name, True, said, dict(figures or {})))


def left(
    recovery: Recovery, name: str, reason: str, figures: Mapping[str, object] | None = None
) -> Recovery:
    """The recovery with the reason why a step was not taken."""
    return _with(recovery, RecoveryStep(name, False, reason, dict(figures or {})))


def _with(recovery: Recovery, step: RecoveryStep) -> Recovery:
    return replace(recovery, steps=(*recovery.steps, step))


def rounded(value: float) -> float:
    """To four digits, as programs record what was measured."""
    return float(f"{value:.4g}")
