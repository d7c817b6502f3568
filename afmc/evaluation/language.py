"""What only models that predict the next token have: a tokenizer, and a longest context."""

from __future__ import annotations

from typing import Any

from afmc.errors import ModelError, OptionError
from afmc.frontends.loaded import positions_of
from afmc.lower.on_tiles import OnTiles


def check_length(on_tiles: OnTiles, tokens: int, what: str) -> None:
    """Raises OptionError where these are more tokens than the model has positions."""
    longest = positions_of(on_tiles.digital.config)
    if longest is not None and tokens > longest:
        raise OptionError(
            f"{what}: {tokens} tokens are more than the {longest} positions of "
            f"{on_tiles.program.model.name}."
        )


def require_tokenizer(on_tiles: OnTiles) -> Any:
    """Tokenizer of a model that predicts the next token. Raises ModelError for any other."""
    model = on_tiles.program.model
    predicts = model.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    if not hasattr(on_tiles.digital, "generate") or not predicts:
        raise ModelError(
            f"{model.name} ({model.architecture}) does not predict the next token; perplexity and "
            f"text need a causal language model."
        )
    if on_tiles.loaded.tokenizer is None:
        raise ModelError(f"{model.name} came without a tokenizer; save one beside the model.")
    return on_tiles.loaded.tokenizer
