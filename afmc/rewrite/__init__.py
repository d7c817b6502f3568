"""Exact changes of a digital model's weights, found in its graph and measured on text.

`rewrite(module, exported, tokens)` gives a copy of the module, of the same class, whose outputs are
the same and whose weights and activations are easier to put on tiles. Between reading a model and
exporting it for the mapping:

    exported = export(loaded.module)
    rewritten = rewrite(loaded.module, exported, tokens, wanted, seed)
    loaded = replace(loaded, module=rewritten.module)

The graph of the rewritten module is another one where `untie` was applied: export it again.
`again(module, exported, rewritten.applied, seed)` gives the same weights without measuring.
"""

from afmc.program.rewriting import RewriteStep
from afmc.rewrite.rewriting import (
    REWRITES,
    TOLERANCE,
    Rewrite,
    Rewritten,
    again,
    difference,
    outputs,
    rewrite,
)

__all__ = [
    "REWRITES",
    "TOLERANCE",
    "Rewrite",
    "RewriteStep",
    "Rewritten",
    "again",
    "difference",
    "outputs",
    "rewrite",
]
