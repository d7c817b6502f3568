"""Text that the model itself writes: what it was trained on, as nearly as anybody has it.

Sampled once from the token that begins a text, at temperature 1 from the 50 likeliest tokens, and
kept in the cache. Source: LLM-QAT (Liu et al., 2023), which trains on such text.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from afmc.common.cache import cache_dir
from afmc.data.text import Text
from afmc.frontends.quiet import quiet

NAME = "the model's own text"
SEQUENCES, TOKENS = 12, 512
_LIKELIEST = 50
_TRIED = 4
"""Tokens by which the time of all is estimated."""
LONGEST_S = 600.0
"""Sampling that would take longer is not done."""


def own_text(module: Any, tokenizer: Any, sha256: str, first: int, *, seed: int = 0) -> Text | None:
    """What the model writes, from the cache where it was written before.

    None where sampling would take longer than `LONGEST_S` seconds, which is tried on a few tokens,
    or the model cannot generate.
    """
    file = _file(sha256, seed)
    if file.is_file():
        return Text(NAME, file.read_text(encoding="utf-8"))
    length = min(TOKENS, getattr(module.config, "max_position_embeddings", None) or TOKENS)
    start = time.perf_counter()
    if _sampled(module, first, _TRIED, seed) is None:
        return None
    if (time.perf_counter() - start) / _TRIED * length > LONGEST_S:
        return None
    tokens = _sampled(module, first, length - 1, seed)
    if tokens is None:
        return None
    content = "\n\n".join(tokenizer.decode(each, skip_special_tokens=True) for each in tokens)
    if not content.strip():
        return None
    _keep(file, content)
    return Text(NAME, content)


def _sampled(module: Any, first: int, count: int, seed: int) -> torch.Tensor | None:
    """[sequences, tokens]"""
    if not hasattr(module, "generate"):
        return None
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), quiet():
        torch.manual_seed(seed)
        start = torch.full((SEQUENCES, 1), first)
        found: torch.Tensor = module.generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=True,
            temperature=1.0,
            top_p=1.0,
            top_k=_LIKELIEST,
            pad_token_id=first,
        )
    return found[:, 1:]


def _file(sha256: str, seed: int) -> Path:
    return cache_dir() / "own-text" / f"{sha256[:32]}-{seed}.txt"


def _keep(file: Path, content: str) -> None:
    """Writes it whole or not at all; a cache that cannot be written is done without."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(file)
    except OSError:
        return
