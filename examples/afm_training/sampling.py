"""Text that the teacher writes: to teach the analog model, and to measure both on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BATCH = 256
TOP_K = 50


@torch.inference_mode()
def sample(model: LlamaForCausalLM, passages: int, seed: int, log: Callable[[str], None]) -> Tensor:
    """[passages, context] tokens: each begins with the start token and goes on as the model's
    probabilities have it, among the likeliest 50 at a time."""
    generator = torch.Generator().manual_seed(seed)
    done = []
    for first in range(0, passages, BATCH):
        done.append(_batch(model, min(BATCH, passages - first), generator))
        log(f"sampling: {first + len(done[-1]):,} of {passages:,} passages")
    return torch.cat(done).clone()


def _batch(model: LlamaForCausalLM, count: int, generator: torch.Generator) -> Tensor:
    written = torch.full((count, 1), int(model.config.bos_token_id))
    past: Any = None
    for _ in range(model.config.max_position_embeddings - 1):
        output = model(input_ids=written[:, -1:], past_key_values=past, use_cache=True)
        past = output.past_key_values
        likeliest, tokens = output.logits[:, -1].topk(TOP_K)
        drawn = torch.multinomial(likeliest.softmax(-1), 1, generator=generator)
        written = torch.cat([written, tokens.gather(1, drawn)], 1)
    return written


def as_text(tokenizer: PreTrainedTokenizerFast, passages: Tensor) -> str:
    """The passages, an empty line between two."""
    texts = tokenizer.batch_decode(passages, skip_special_tokens=True)
    return "\n\n".join(text.strip() for text in texts) + "\n"
