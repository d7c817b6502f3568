"""The digital model with the weights rounded that are on tiles otherwise."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from afmc.lower.module import twin_of
from afmc.program.model import is_bank
from afmc.program.program import Program
from afmc.quantize.precision import Precision
from afmc.quantize.round_to_nearest import round_to_nearest


def rounded_twin(module: nn.Module, program: Program, precision: Precision) -> nn.Module:
    """A copy of the module, which shares all other parameters: an embedding whose weight a matrix
    has, too, keeps it as it is."""
    twin = twin_of(module)
    for matrix in program.analog:
        owner: Any
        if is_bank(matrix):
            path, _, name = matrix.name.rpartition(".")
            owner, weight = twin.get_submodule(path), twin.get_parameter(matrix.name).detach()
        else:
            owner, name = twin.get_submodule(matrix.module), "weight"
            weight = owner.weight.detach()[None]
        turned = matrix.stored == "rows_cols"
        made = torch.stack(
            [
                _turned(round_to_nearest(_turned(each, turned), precision).weight, turned)
                for each in weight
            ]
        )
        made = made if is_bank(matrix) else made[0]
        setattr(owner, name, nn.Parameter(made.contiguous(), requires_grad=False))
    return twin


def _turned(weight: torch.Tensor, turned: bool) -> torch.Tensor:
    return weight.T if turned else weight
