"""Text to learn from: paragraphs, a tokenizer of its own, and random windows of tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

START = "<|endoftext|>"
HELD_OUT = 0.04
"""Share of each text, its end, that is not learned from."""
LEAST_HELD_OUT = 3000
"""Characters; they are more than a window of tokens."""


class TextError(Exception):
    """A text that no model can learn from, said in one sentence."""


def read_corpus(files: Sequence[Path]) -> tuple[str, str]:
    """What is learned from, and what is held out. Raises TextError."""
    learned, held_out = [], []
    for file in files:
        try:
            text = unwrapped(file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise TextError(f"{file} is not UTF-8 (byte {error.start}); convert it.") from error
        end = int((1 - HELD_OUT) * len(text))
        if "\n\n" in text[:end]:
            end = text.rindex("\n\n", 0, end)
        learned.append(text[:end])
        held_out.append(text[end:].lstrip())
    if sum(map(len, held_out)) < LEAST_HELD_OUT:
        raise TextError(
            f"the text has {sum(map(len, held_out)):,} characters at the ends of its files, which "
            f"are held out, but should have {LEAST_HELD_OUT:,}: give some 100 kB of text or more."
        )
    return "\n\n".join(learned), "\n\n".join(held_out)


def unwrapped(text: str) -> str:
    """With every paragraph on one line and one empty line between paragraphs."""
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def train_tokenizer(text: str, size: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level byte-pair encoding of `size` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.split("\n\n"), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=START,
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> Tensor:
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(ids, dtype=torch.long)


def random_windows(ids: Tensor, batch: int, length: int, start: int) -> Tensor:
    """[batch, length] from random places; every other one opens with the start token, so that
    sampling can begin with it."""
    places = torch.randint(len(ids) - length + 1, (batch, 1))
    windows = ids[places + torch.arange(length)]
    windows[::2, 0] = start
    return windows
