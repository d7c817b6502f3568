"""Small random models of many families, and what rewrites make of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers as hf
from families import FAMILIES
from models import SIZES, TOKENS
from torch.export import ExportedProgram

from afmc.frontends.graph.export import export
from afmc.rewrite import REWRITES, RewriteStep, rewrite

_ODD: dict[str, Any] = {"num_attention_heads": 5, "hidden_size": 30}
OTHERS: dict[str, Callable[[], torch.nn.Module]] = {
    "OLMo-2": lambda: hf.Olmo2ForCausalLM(hf.Olmo2Config(**SIZES, **TOKENS)),
    "Cohere": lambda: hf.CohereForCausalLM(hf.CohereConfig(**SIZES, **TOKENS)),
    "Llama, odd sizes": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**{**SIZES, **_ODD, "head_dim": 6, "num_key_value_heads": 5})
    ),
    "GPT-2, odd sizes": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(n_embd=30, n_layer=2, n_head=5, vocab_size=60, n_positions=64, **TOKENS)
    ),
}
EVERY = {**FAMILIES, **OTHERS}
HEADINGS = ("family", *REWRITES, "largest difference of a logit", "what stays, and why")
IDS = torch.randint(3, 39, (3, 21), generator=torch.Generator().manual_seed(0))


@cache
def family(name: str) -> tuple[Any, ExportedProgram]:
    """A random model, whose vectors (weights of norms, biases) are random as well; and its graph.

    Rewrites leave both as they are.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = EVERY[name]().eval()
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return module, export(module)


@dataclass(frozen=True)
class Found:
    words: tuple[str, ...]
    """Cells of the table in docs/results/rewrites.md, but for the difference."""
    difference: float
    """Largest difference of a logit by the root mean square of all, after the last rewrite."""

    @property
    def row(self) -> tuple[str, ...]:
        *cells, reasons = self.words
        return (*cells, f"{self.difference:.1e}", reasons)


def look_at(name: str) -> Found:
    module, exported = family(name)
    found = rewrite(module, exported, IDS)
    reasons = " ".join(step.reason for step in found.steps if step.of and step.reason)
    last = max(step.difference for step in found.steps if step.difference is not None)
    return Found((name, *map(_cell, found.steps), reasons), last)


def _cell(step: RewriteStep) -> str:
    if not step.of:
        return "none"
    if not step.applied:
        return "no"
    return "yes" if step.done == step.of else f"{step.done} of {step.of}"
