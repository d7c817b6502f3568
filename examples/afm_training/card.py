"""The model cards: what each model learned from, how, how well, and what it is not good for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2

from afm_training.analog import Hardening
from afm_training.perplexity import Prediction


@dataclass(frozen=True)
class Made:
    """What is to be said of one training."""

    source: str
    """What the text is, in words."""
    files: Mapping[str, str]
    """SHA-256 of each text file."""
    learned: int
    """Characters."""
    tokens: int
    weights: int
    context: int
    batch: int
    steps: int
    seed: int
    passages: int
    analog_steps: int
    hardening: Hardening
    cpu_minutes: float
    held_out: Mapping[str, Prediction]
    """By model."""
    sampled: Mapping[str, Prediction]
    """On the text for validation, by model."""
    table: str
    """Table of robustness; may be empty."""


def model_card(of: Literal["teacher", "analog"], made: Made) -> str:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(f"{of}.md.j2").render(made=made)
