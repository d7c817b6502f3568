"""A model on tiles as lm-evaluation-harness asks it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from torch import Tensor, nn

from afmc.evaluation.language import require_tokenizer
from afmc.lower.on_tiles import OnTiles
from afmc.lower.prefix import Prefix

Done = Callable[[int, int], None]
"""Called with the number of requests that were just answered, and how many there are."""


class OnTilesLM(HFLM):  # type: ignore[misc]  # lm_eval has no types
    """The chip that is written to the tiles, or the digital model as it came."""

    def __init__(
        self,
        on_tiles: OnTiles,
        *,
        digital: bool = False,
        batch_size: int = 8,
        done: Done = lambda count, of: None,
        **others: Any,
    ) -> None:
        self._done, self._requests = done, 0
        self._digital = on_tiles.digital
        self._prefix: Prefix | None = None if digital else on_tiles.prefix
        module: Any = on_tiles.digital if digital else on_tiles.analog
        rereads = on_tiles.target.is_random_at_reads and not digital
        super().__init__(
            pretrained=_as_it_is(module),
            tokenizer=require_tokenizer(on_tiles),
            batch_size=batch_size,
            backend="causal",
            logits_cache=not rereads,  # what is read once is not what is read again
            # What the tokenizer puts in front is the last token of the prefix.
            add_bos_token=False if self._prefix else None,
            device=str(next(module.parameters()).device),
            max_length=_positions(module, self._prefix),
            **others,
        )

    @property
    def max_gen_toks(self) -> int:
        """Tokens that are generated where a task does not say how many."""
        return int(min(super().max_gen_toks, self.max_length // 2))

    def _loglikelihood_tokens(self, requests: Any, *args: Any, **options: Any) -> Any:
        self._requests = len(requests)
        return super()._loglikelihood_tokens(requests, *args, **options)

    def generate_until(self, requests: Any, *args: Any, **options: Any) -> Any:
        self._requests = len(requests)
        return super().generate_until(requests, *args, **options)

    def _model_call(self, inps: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[batch, tokens, vocabulary]. Where lm-eval puts the token in front with which the prefix
        ends, as before an empty context, that of the prefix is the one."""
        with torch.inference_mode():
            if self._prefix is None:
                logits: Tensor = self.model(input_ids=inps, use_cache=False).logits
            else:
                logits = self._behind(inps, inps[:, 0] == self._prefix.tokens[-1])
        self._done(len(inps), self._requests)
        return logits

    def _behind(self, inps: Tensor, again: Tensor) -> Tensor:
        parts = {}
        if not again.all():
            parts[False] = self.model(input_ids=inps[~again], use_cache=False).logits
        if again.any():
            first = self._after_prefix.expand(int(again.sum()), -1, -1)
            rest = inps[again][:, 1:]
            after = [self.model(input_ids=rest, use_cache=False).logits] if rest.numel() else []
            parts[True] = torch.cat([first, *after], dim=1)
        some = next(iter(parts.values()))
        logits = some.new_empty(*inps.shape, some.shape[-1])
        for kind, part in parts.items():
            logits[again == kind] = part
        return logits

    @cached_property
    def _after_prefix(self) -> Tensor:
        """What the digital model says of the token after the prefix, [1, 1, vocabulary]."""
        assert self._prefix is not None
        logits: Tensor = self._digital(input_ids=torch.tensor([self._prefix.tokens])).logits
        return logits[:, -1:]

    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **options: Any
    ) -> Tensor:
        if self._prefix is None:
            found: Tensor = super()._model_generate(context, max_length, stop, **options)
            self._done(len(context), self._requests)
            return found
        # The prefix stands before the padding, where every sequence begins.
        before = torch.tensor(self._prefix.tokens).expand(len(context), -1)
        mask = options.pop("attention_mask")
        found = super()._model_generate(
            torch.cat([before, context], dim=1),
            max_length + before.shape[1],
            stop,
            attention_mask=torch.cat([torch.ones_like(before), mask], dim=1),
            past_key_values=self._prefix.cache(self.model.config, len(context)),
            **options,
        )
        self._done(len(context), self._requests)
        return found[:, before.shape[1] :]


def _positions(module: Any, prefix: Prefix | None) -> int | None:
    """Tokens that a question may have; None where the model does not say."""
    found = getattr(module.config, "max_position_embeddings", None)
    return found - (len(prefix.tokens) if prefix else 0) if isinstance(found, int) else None


def _as_it_is(module: nn.Module) -> nn.Module:
    """The module, whose head is on tiles with weights of its own: lm-eval ties the weights of every
    model that it is given, and from now on that does nothing here."""
    module.__dict__["tie_weights"] = lambda *args, **kwargs: None
    return module
