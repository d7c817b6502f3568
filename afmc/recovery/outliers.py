"""Tokens with massive activations, and a constant prefix that takes them off the tiles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from afmc.lower.module import twin_of
from afmc.lower.prefix import Prefix, compute_prefix, put_behind
from afmc.lower.watch import Look, watch

OUTLIER = 64.0
"""A token is an outlier whose largest value is so many times the median of its sequence's.

Source: PrefixQuant (Chen et al., 2024), section 4."""

_MOST_TOKENS = 8
_SAME = 1e-4
"""Largest difference of logits, against their spread, of a cache that is the same as its tokens."""


@dataclass
class Outliers:
    """Tokens with massive activations among those that were looked at."""

    largest: float = 0.0
    """Largest value of a token over the median of its sequence's tokens, over all activations."""
    count: float = 0.0
    """Outliers of a sequence, of the activation that has most."""
    tokens: Counter[int] = field(default_factory=Counter)
    """How often each token was one, except at the beginning of a sequence."""


def find_outliers(
    module: nn.Module, readers: Mapping[str, str], windows: Sequence[Tensor]
) -> Outliers:
    """Looks at every activation that the matrices read, [1, tokens, rows]; `readers` has the path
    of one module that reads it."""
    found = Outliers()
    counts: Counter[str] = Counter()
    now: list[Tensor] = []

    def look(name: str, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[:2] != now[0].shape:
            return  # rows of experts have no positions
        size = x[0].abs().amax(dim=1)
        ratio = size / size.median().clamp(min=torch.finfo(size.dtype).tiny)
        found.largest = max(found.largest, float(ratio.max()))
        at = torch.nonzero(ratio > OUTLIER).flatten().tolist()
        counts[name] += len(at)
        found.tokens.update(int(now[0][0, place]) for place in at if place)

    looks = [Look(path, 0, partial(look, name)) for name, path in readers.items()]
    for window in windows:
        now[:] = [window]
        watch(module, looks, [window])
    found.count = max(counts.values(), default=0) / max(1, len(windows))
    return found


def tokens_of_prefix(outliers: Outliers, first: int | None) -> tuple[int, ...]:
    """As many tokens as a sequence has outliers: the most frequent ones, and at the end `first`,
    with which sequences begin."""
    wanted = min(math.ceil(outliers.count), _MOST_TOKENS)
    if not wanted or first is None:
        return ()
    others = [token for token, _ in outliers.tokens.most_common() if token != first]
    return (*others[: wanted - 1], first)


def first_token(tokenizer: Any, config: Any) -> int | None:
    """The token that begins a text, or else the one that ends it; None where there is neither."""
    for owner in (tokenizer, config):
        for name in ("bos_token_id", "eos_token_id"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    return None


def prefix_of(module: Any, tokens: tuple[int, ...], window: Tensor) -> Prefix:
    """The prefix, computed digitally.

    Raises ValueError, in words that follow "because", where a sequence behind it does not give what
    it gives behind the tokens themselves.
    """
    try:
        prefix = compute_prefix(module, tokens)
    except ValueError:
        raise
    except Exception as error:  # models of transformers raise nearly every type
        raise ValueError(f"its cache cannot be filled ({type(error).__name__})") from error
    behind = put_behind(twin_of(module), prefix)
    with torch.inference_mode():
        whole = module(torch.cat([torch.tensor([tokens]), window], dim=1)).logits[:, len(tokens) :]
        ours = behind(window).logits
    difference = float((whole - ours).abs().max() / whole.std())
    if not difference <= _SAME:
        raise ValueError(
            f"behind it logits differ from those behind its tokens by {difference:.1g} of their "
            f"spread"
        )
    return prefix
