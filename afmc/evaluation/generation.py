"""Text from a model on noisy tiles."""

from __future__ import annotations

from typing import Any

import torch

from afmc.data.bounded import bounded
from afmc.data.tokens import check_known
from afmc.errors import OptionError, TextError
from afmc.evaluation.language import check_length, require_tokenizer
from afmc.evaluation.preflight import check_conditions
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles


def generate(
    on_tiles: OnTiles,
    prompt: str,
    *,
    max_tokens: int = 50,
    seed: int = 0,
    instance: int = 0,
    digital: bool = False,
    condition: Condition | None = None,
) -> str:
    """Text that follows the prompt, the likeliest token each time, without the prompt.

    Raises OptionError, TextError and TargetError; ModelError for a model that does not predict the
    next token.
    """
    if max_tokens < 1:
        raise OptionError(f"--max-tokens must be at least 1, but is {max_tokens}.")
    tokenizer = require_tokenizer(on_tiles)
    if condition is not None:
        check_conditions(on_tiles.target, [condition])
    model: Any = on_tiles.digital
    if not digital:
        on_tiles.write(seed=seed, instance=instance, condition=condition)
        model = on_tiles.analog
    bounded(lambda: list(tokenizer(prompt)["input_ids"]), len(prompt))
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    check_known(ids.flatten(), on_tiles.digital.config)
    if not ids.numel():
        raise TextError("the prompt is empty; give it at least one word.")
    behind: dict[str, Any] = {}
    if on_tiles.prefix is not None:
        ids = on_tiles.prefix.before(ids)
        behind = {"past_key_values": on_tiles.prefix.cache(on_tiles.digital.config)}
    check_length(on_tiles, ids.numel() + max_tokens, "prompt and --max-tokens")
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
            **behind,
        )
    new = output[0, ids.shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))
