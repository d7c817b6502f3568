"""Torch modules with example inputs, and exported programs, as graphs whose products are layers."""

from __future__ import annotations

import pytest
import torch
from graphs import Digits, digits, images
from torch import nn
from torch.export import Dim

from afmc.errors import ModelError
from afmc.frontends.graph import reasons
from afmc.frontends.graph.matrices import Structure
from afmc.frontends.loaded import Loaded
from afmc.frontends.network import parameters_in
from afmc.frontends.programs.modules import from_example, from_program


def structure(model: Loaded) -> Structure:
    assert model.graph is not None
    return model.graph.structure(None)


def test_convolutions_and_linear_layers_are_matrices() -> None:
    found = structure(from_example(digits(), [images(1)]))
    assert [
        (m.name, m.module, m.rows, m.cols, m.per_token, m.bias, m.sources) for m in found.matrices
    ] == [
        ("first.weight", "first", 9, 6, 64, "first.bias", ()),
        ("second.weight", "second", 36, 8, 12, None, ("first.weight",)),
        ("head.weight", "head", 96, 5, 1, "head.bias", ("second.weight",)),
    ]
    said = {rest.operation: (rest.reason, rest.weights) for rest in found.remainder}
    assert said["aten.conv2d.default"] == (reasons.IN_GROUPS, 6 * 9 + 6)
    assert said["aten.batch_norm.default"] == (reasons.NORMALISATION, 12)
    assert parameters_in(found) == sum(each.numel() for each in digits().parameters())


class Functional(nn.Module):
    """Products outside of layers, one weight used for two things, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.kernel = nn.Parameter(torch.randn(3, 4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x @ self.weight
        x = self.attention(x, x, x)[0] + self.weight[0]
        return nn.functional.conv1d(x.mT, self.kernel, padding="same") * self.kernel.sum()


class WithPart(nn.Module):
    """A layer below a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Linear(4, 4)
        self.outer.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer.inner(self.outer(x))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("module", "x", "matrices"),
    [
        (Digits(), images(5), ["first", "second", "head"]),
        (
            Functional(),
            torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(0)),
            ["weight", "attention.in_proj_weight", "attention.out_proj", "kernel"],
        ),
        (WithPart(), images(5)[:, 0, 0, :4], ["outer", "outer_inner"]),
    ],
)
def test_computes_what_the_module_does(
    module: nn.Module, x: torch.Tensor, matrices: list[str]
) -> None:
    model = from_example(module, [x])
    found = structure(model).matrices
    assert [matrix.module for matrix in found] == matrices
    assert all(isinstance(model.module.get_submodule(m.module), nn.Linear) for m in found)
    with torch.no_grad():
        torch.testing.assert_close(model.module(x), module.eval()(x), atol=1e-5, rtol=1e-5)


def test_a_program_of_ones_own() -> None:
    with torch.no_grad():
        exported = torch.export.export(digits(), (images(2),), dynamic_shapes=({0: Dim("images")},))
    model = from_program(exported)
    assert model.graph is not None and model.graph.batch is None
    assert [m.module for m in structure(model).matrices] == ["first", "second", "head"]
    with torch.no_grad():
        torch.testing.assert_close(model.module(images(7)), digits()(images(7)))


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Branches(), "Branches cannot be exported by torch.export: "),
        (
            nn.Linear(8, 8).half(),
            None,  # from_example makes it float32
        ),
    ],
)
def test_modules_that_cannot_be_exported(module: nn.Module, sentence: str | None) -> None:
    if sentence is None:
        assert len(structure(from_example(module, [images(2)])).matrices) == 1
        return
    with pytest.raises(ModelError) as error:
        from_example(module, [images(2)])
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def test_a_program_in_half_precision_or_in_training_is_refused() -> None:
    half = torch.export.export(nn.Linear(8, 4).half(), (images(2).half(),))
    with pytest.raises(ModelError, match=r"has float16 weights, first weight: call \.float\(\)"):
        from_program(half)
    training = torch.export.export(Digits(), (images(2),))
    with pytest.raises(ModelError, match="was exported in training mode"):
        from_program(training)
