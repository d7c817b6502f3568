"""Texts as token numbers in windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from afmc.errors import TextError


def tokenise(tokenizer: Any, text: str, tokens: int) -> Tensor:
    """The first `tokens` token numbers of a text, nothing added; fewer if it is shorter."""
    # Far more characters than that many tokens have, so that a long text is not read to its end.
    excerpt = text[: 64 * tokens]
    ids = tokenizer(excerpt, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(ids[:tokens], dtype=torch.long)


def windows_of(ids: Tensor, window: int) -> list[Tensor]:
    """Whole, non-overlapping windows [1, window]; what is left over at the end is not used.

    Raises TextError when there is not one.
    """
    whole = len(ids) // window
    if not whole:
        raise TextError(
            f"the text has {len(ids)} tokens, less than one window of {window}; "
            f"give a longer one or a smaller --window."
        )
    return list(ids[: whole * window].view(whole, 1, window))
