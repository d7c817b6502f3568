"""Texts as token numbers in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from afmc.data.bounded import bounded
from afmc.errors import ModelError, TextError


def tokenise(tokenizer: Any, text: str, tokens: int) -> Tensor:
    """The first `tokens` token numbers of a text, nothing added; fewer if it is shorter.

    Raises ModelError for a tokenizer that fails, or that takes too long or too much memory.
    """
    # Far more characters than that many tokens have, so that a long text is not read to its end.
    excerpt = text[: 64 * tokens]

    def first() -> list[int]:
        found = tokenizer(excerpt, add_special_tokens=False, verbose=False)["input_ids"]
        return list(found[:tokens])

    return torch.tensor(bounded(first, len(excerpt)), dtype=torch.long)


def check_known(ids: Tensor, config: Any) -> None:
    """Raises ModelError for numbers of tokens that a model with this configuration has not."""
    known = getattr(config, "vocab_size", None)
    if known is None or not ids.numel():
        return
    wrong = ids[(ids < 0) | (ids >= known)]
    if len(wrong):
        raise ModelError(
            f"the tokenizer gives token {int(wrong[0]):,}, but the model has {known:,}: they do "
            f"not belong together; save the model's own tokenizer beside it."
        )


def begin_of(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that a tokenizer puts in front of every text, with which a model was trained."""
    ids = list(tokenizer("a")["input_ids"])
    text = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    places = range(len(ids) - len(text) + 1)
    return tuple(next((ids[:i] for i in places if ids[i : i + len(text)] == text), ()))


def windows_of(ids: Tensor, window: int, begin: Sequence[int] = ()) -> list[Tensor]:
    """Whole windows [1, window] that do not overlap, each with the tokens `begin` in front; what is
    left over at the end is not used.

    Raises TextError when there is not one.
    """
    length = window - len(begin)
    whole = len(ids) // length if length > 1 else 0
    if not whole:
        raise TextError(
            f"the text has {len(ids)} tokens, less than one window of {window}; "
            f"give a longer one or a smaller --window."
        )
    parts = ids[: whole * length].view(whole, 1, length)
    front = torch.tensor(begin, dtype=ids.dtype).expand(whole, 1, -1)
    return list(torch.cat([front, parts], dim=2))
