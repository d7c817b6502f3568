"""Which matrices another one's input comes from."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from afmc.frontends.graph.export import export
from afmc.frontends.graph.matrices import find_matrices


class Toy(nn.Module):
    """Four matrices a, b, c and d for `forward` to use."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.d(self.use(self.embedding(input_ids)))

    def use(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError  # each toy has its own


class Chain(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.c(F.layer_norm(self.b(self.a(x)), (4,))))


class Gate(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(F.silu(self.a(x)) * self.b(x))


class Residual(Toy):
    """A running sum of which the last summand is named."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.a(x)
        x = x + self.b(F.layer_norm(x, (4,)))
        return x + self.c(x)


class InPlace(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        y += self.b(y)
        return y.add_(self.c(y))


class Scaled(Toy):
    """As some models weigh the sum against what is added."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        y = 0.5 * x + self.a(x) * 2
        return 0.5 * y + self.b(y) * 2


class Parallel(Toy):
    """Two that do not depend on one another are both added last."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.a(x)
        return y + self.b(y) + self.c(F.layer_norm(y, (4,)))


class Bypass(Toy):
    """Side by side in one vector, nothing is added."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        first = self.a(x)
        return torch.cat([first[..., :2], self.b(first)[..., 2:]], dim=-1)


class Attention(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        weights = (self.a(x) @ self.b(x).mT).softmax(-1)
        return x + weights @ self.c(x)


class Written(Toy):
    """Parts of a new tensor, one after the other."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.empty_like(x)
        both[..., :2] = self.a(x)[..., :2]
        both[..., 2:] = self.b(self.a(x))[..., 2:]
        return both.tanh()


class Chosen(Toy):
    """The choice of a vector is an input too."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        which = self.a(x).argmax(-1)
        return torch.gather(self.b(x), 1, which.unsqueeze(-1).expand_as(x) % 2)


class Again(Toy):
    """A matrix that reads what it made."""

    def use(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.a(x)
        x = x + self.a(x)
        return x + self.b(x)


@pytest.mark.parametrize(
    ("toy", "sources"),
    [
        (Chain, {"a": "", "b": "a", "c": "b", "d": "c"}),
        (Gate, {"a": "", "b": "", "c": "ab", "d": "c"}),
        (Residual, {"a": "", "b": "a", "c": "b", "d": "c"}),
        (InPlace, {"a": "", "b": "a", "c": "b", "d": "c"}),
        (Scaled, {"a": "", "b": "a", "d": "b"}),
        (Parallel, {"a": "", "b": "a", "c": "a", "d": "bc"}),
        (Bypass, {"a": "", "b": "a", "d": "ab"}),
        (Attention, {"a": "", "b": "", "c": "", "d": "abc"}),
        (Written, {"a": "", "b": "a", "d": "ab"}),
        (Chosen, {"a": "", "b": "", "d": "ab"}),
        (Again, {"a": "a", "b": "a", "d": "b"}),
    ],
)
def test_sources(toy: type[Toy], sources: dict[str, str]) -> None:
    matrices, *_ = find_matrices(export(toy().eval(), dynamic=False))
    found = {m.name[0]: "".join(source[0] for source in m.sources) for m in matrices}
    assert found == sources
