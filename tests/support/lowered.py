"""Tiny models on noisy tiles, and what is lowered from them; made once."""

from __future__ import annotations

from functools import cache

from models import tiny_model, tiny_tokenizer

import afmc
from afmc import CompiledModel, load_target
from afmc.data.text import Text
from afmc.mlir import lower

TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 40)
NOISY = load_target("afm-512-projected", {"crossbar.rows": 20, "crossbar.columns": 32})


@cache
def compiled(architecture: str, *digital: str) -> CompiledModel:
    """With these matrices digital."""
    return afmc.compile(
        tiny_model(architecture),
        NOISY,
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        digital=digital,
        level=0,
    )


@cache
def lowered(architecture: str) -> str:
    return lower(compiled(architecture))
