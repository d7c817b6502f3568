"""What is known of a model that is a graph from tensors to a tensor, and no language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from afmc.data.samples import Input, Samples
from afmc.frontends.graph.matrices import Structure


@dataclass(frozen=True, eq=False)
class Graph:
    architecture: str
    """What kind of model it is, in a few words."""
    inputs: tuple[Input, ...]
    """In the order in which the module takes them."""
    structure: Callable[[Samples | None], Structure]
    """Its matrices and all the rest, in a run of the first of these samples, or of some that are
    made up where the sizes of all inputs are known. Raises ModelError where they are not."""
    write: Callable[[Path], None]
    """Writes the model into a folder, so that it can be read again."""

    @property
    def batch(self) -> int | None:
        """How many samples it takes at once; None for any number."""
        return self.inputs[0].sizes[0] if self.inputs and self.inputs[0].sizes else None


def parameters_in(structure: Structure) -> int:
    """Weights, tied ones counted once."""
    biases = {m.bias: m.cols * m.copies for m in structure.matrices if m.bias}
    held = sum(matrix.weights for matrix in structure.matrices)
    return held + sum(biases.values()) + sum(rest.weights for rest in structure.remainder)


def tensors_of(samples: Samples) -> tuple[torch.Tensor, ...]:
    """In the order of the arrays; what a model takes."""
    return tuple(torch.tensor(array) for array in samples.arrays.values())
