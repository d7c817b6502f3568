"""Banks of experts: each expert's rows on its own tiles, and the module around two such banks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.simulator.replicas import Layer


def by_expert(
    x: Tensor, ends: Tensor, cols: int, product: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """`product(expert, rows)` for the rows of every expert that has some, [rows, cols].

    `x` is sorted by expert: up to row ``ends[e]`` are those of the experts up to e. Rows after the
    last end are nobody's and give zeros.
    """
    y = x.new_zeros(len(x), cols)
    first = 0
    for expert, last in enumerate(map(int, ends.tolist())):
        if last > first:
            y[first:last] = product(expert, x[first:last])
            first = last
    return y


Bank = Tensor | Sequence[Tensor]
"""What a bank holds for each expert."""


class DigitalBank(nn.Module):
    """A bank of experts in digital arithmetic.

    Each expert has a weight [outputs, inputs], or the other way round when `transposed`; the
    weights may be read only when they are asked for.
    """

    def __init__(
        self,
        weights: Bank,
        biases: Bank | None,
        out_features: int,
        *,
        transposed: bool,
    ) -> None:
        super().__init__()
        # Parameters stay those of the experts' module.
        self.__dict__["_weights"], self.__dict__["_biases"] = weights, biases
        self.out_features, self.transposed = out_features, transposed

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        def product(expert: int, rows: Tensor) -> Tensor:
            biases = self.__dict__["_biases"]
            weight = self.__dict__["_weights"][expert]
            bias = None if biases is None else biases[expert]
            return functional.linear(rows, weight.T if self.transposed else weight, bias)

        return by_expert(x, ends, self.out_features, product)


class TileBank(nn.Module):
    """A bank of experts on tiles: a layer of tiles for each."""

    def __init__(self, tiles: Sequence[Layer]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(tiles)
        self.out_features = tiles[0].out_features

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        return by_expert(
            x, ends, self.out_features, lambda expert, rows: self.experts[expert](rows)
        )


def banks_of(experts: Any, values: Callable[[nn.Parameter], Bank]) -> dict[str, nn.Module]:
    """The two banks of an experts' module of transformers 5, by parameter's name.

    What they are say the attributes that ``use_experts_implementation`` gives such modules.
    `values` gives what a parameter of the module holds for each expert.
    """
    banks: dict[str, nn.Module] = {}
    for name in ("gate_up_proj" if experts.has_gate else "up_proj", "down_proj"):
        biases = values(getattr(experts, f"{name}_bias")) if experts.has_bias else None
        weight, transposed = getattr(experts, name), bool(experts.is_transposed)
        cols = weight.shape[2 if transposed else 1]
        banks[name] = DigitalBank(values(weight), biases, cols, transposed=transposed)
    return banks


class GroupedExperts(nn.Module):
    """Stands in for an experts' module of transformers 5, with banks of one's choice.

    It has the module's parameters under their names, and does what the module does between the
    banks: the gate or activation function, the norm, and the router's weights.
    """

    reads_by_itself = True
    """Its banks read what they need of its parameters."""

    def __init__(self, experts: nn.Module, banks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.__dict__["_experts"] = experts  # not as a child: its parameters keep their names
        for name, parameter in experts.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, child in experts.named_children():
            self.add_module(name, child)
        self.banks = nn.ModuleDict(banks)

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Hidden states [tokens, rows] to [tokens, cols], the weighted sum over the experts that
        the router chose, both [tokens, experts of a token].
        """
        experts: Any = self.__dict__["_experts"]
        up, down = self.banks.values()
        tokens, uses = top_k_index.shape
        chosen, order = torch.sort(top_k_index.reshape(-1))
        count: int = experts.down_proj.shape[0]
        ends = torch.bincount(chosen, minlength=count)[:count].cumsum(0)
        x = up(hidden_states[order // uses], ends)
        x = experts._apply_gate(x) if experts.has_gate else experts.act_fn(x)
        x = down(x, ends)
        if experts.has_post_expert_norm:
            x = experts.post_expert_norm(x)
        x = x * top_k_weights.reshape(-1)[order].unsqueeze(-1)
        sorted_back = torch.empty_like(x)
        sorted_back[order] = x
        return sorted_back.view(tokens, uses, -1).sum(dim=1).to(hidden_states.dtype)
