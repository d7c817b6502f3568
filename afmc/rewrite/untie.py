"""Parameters that share memory, each with its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from afmc.rewrite.facts import Facts, Outcome, Weights


def untie(facts: Facts, weights: Weights, seed: int) -> Outcome:
    """Gives the matrix behind the last norm a weight of its own, apart from the embedding's.

    The configuration then says that nothing is tied, and so all parameters are parted that were.
    """
    module: Any = weights.module
    products = {layer.weight for layer in facts.layers.values()}
    pairs = [
        (weight, name)
        for weight in sorted(products)
        for name in facts.embeddings.values()
        if weights.same(weight, name)
    ]
    if not pairs:
        return Outcome(0, 0, "No matrix shares its weight with an embedding.")
    if any(weight == name for weight, name in pairs):
        weight = next(weight for weight, name in pairs if weight == name)
        return Outcome(
            0, len(pairs), f"The graph does not tell which operation reads {weight} by which name."
        )
    for names in facts.tied:
        for name in names[1:]:
            if weights.same(names[0], name):
                _part(weights, name)
    _say_untied(module, weights)
    return Outcome(len(pairs), len(pairs))


def _part(weights: Weights, name: str) -> None:
    path, _, last = name.rpartition(".")
    owner = weights.module.get_submodule(path)
    shared = weights.module.get_parameter(name)
    own = nn.Parameter(shared.detach().clone(), requires_grad=shared.requires_grad)
    setattr(owner, last, own)
    weights.on_undo(partial(setattr, owner, last, shared), name)


def _say_untied(module: Any, weights: Weights) -> None:
    """In the configuration, so that the saved folder is read as it was written."""
    config = getattr(module, "config", None)
    if config is None:
        return
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    for each in {id(each): each for each in (config, text)}.values():
        before = getattr(each, "tie_word_embeddings", None)
        if before:
            each.tie_word_embeddings = False
            weights.on_undo(partial(setattr, each, "tie_word_embeddings", before))
    for each in module.modules():
        tied = getattr(each, "all_tied_weights_keys", None)
        if tied:
            each.all_tied_weights_keys = {}
            weights.on_undo(partial(setattr, each, "all_tied_weights_keys", tied))
