"""Where in which file each operation of a graph came from, which nobody else's machine has."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

_SAID = ("stack_trace", "from_node")
"""Entries of a node's metadata that hold paths."""


def drop_sources(exported: ExportedProgram) -> None:
    """Removes paths of this machine from a program that is going to be saved."""
    for module in exported.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for name in _SAID:
                    node.meta.pop(name, None)
