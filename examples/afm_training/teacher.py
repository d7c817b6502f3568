"""The floating-point model: its shape, and how it learns a text by heart as far as it can."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from afm_training.corpus import random_windows

CONTEXT = 256
BATCH = 8


def make_teacher(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """1.8 million weights with random values; embedding and lm_head are not tied."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def train_teacher(
    model: LlamaForCausalLM,
    ids: Tensor,
    steps: int,
    log: Callable[[str], None],
    peak: float = 2e-3,
) -> None:
    """Next-token prediction over random windows of the text."""
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=peak,
        betas=(0.9, 0.95),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share(step, steps))
    model.train()
    for step in range(steps):
        windows = random_windows(ids, BATCH, CONTEXT, model.config.bos_token_id)
        loss = model(input_ids=windows, labels=windows, use_cache=False).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps - 1:
            log(f"teacher: step {step + 1} of {steps}, loss {loss.item():.3f}")
    model.eval()


def share(step: int, steps: int, warm_up: float = 0.04) -> float:
    """Share of the peak learning rate: a linear warm-up, then half a cosine to a twentieth."""
    warm = warm_up * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
