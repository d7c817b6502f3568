"""How well a saved model predicts text, digitally."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from afmc.data.tokens import tokenise, windows_of
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load


@dataclass(frozen=True)
class Prediction:
    perplexity: float
    """Perplexity of a token, over windows as long as the context whose first token is not
    scored."""
    bits_per_character: float
    """If the first tokens cost as much as the others."""


def predict(folder: Path, text: str) -> Prediction:
    loaded = load(resolve(str(folder)))
    ids = tokenise(loaded.tokenizer, text, len(text))
    windows = windows_of(ids, loaded.config.max_position_embeddings)
    with torch.inference_mode():
        losses = [
            float(loaded.module(input_ids=each, labels=each, use_cache=False).loss)
            for each in windows
        ]
    loss = sum(losses) / len(losses)
    return Prediction(math.exp(loss), loss / math.log(2) * len(ids) / len(text))
