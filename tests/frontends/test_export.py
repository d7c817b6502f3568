"""The exported graph computes what the module does, under the module's own names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from afmc.errors import ModelError
from afmc.frontends.graph.export import constant_names, export, parameter_names

Tiny = Callable[[str], nn.Module]
Exports = Callable[[str], tuple[nn.Module, ExportedProgram]]


def test_same_output_for_other_sizes(architecture: str, exports: Exports) -> None:
    module, exported = exports(architecture)
    graph = exported.module()
    for batch, sequence in ((1, 1), (3, 40), (1, 63), (2, 16)):
        ids = torch.arange(batch * sequence).reshape(batch, sequence) * 7 % 60
        with torch.no_grad():
            torch.testing.assert_close(graph(ids), module(ids).logits, rtol=0, atol=1e-6)


def test_names_are_the_models_own(architecture: str, exports: Exports) -> None:
    module, exported = exports(architecture)
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    assert set(parameter_names(exported).values()) == names
    assert set(exported.state_dict) >= names
    assert set(parameter_names(exported)) <= set(constant_names(exported))


def test_parameters_share_memory_with_the_module(exports: Exports) -> None:
    module, exported = exports("llama")
    for name, parameter in module.named_parameters():
        assert exported.state_dict[name].data_ptr() == parameter.data_ptr()


def test_the_module_is_left_as_it_was(tiny: Tiny) -> None:
    module = tiny("llama")
    before = {name: id(child) for name, child in module.named_modules()}
    export(module)
    assert {name: id(child) for name, child in module.named_modules()} == before


def test_last_hidden_state_where_there_are_no_logits(tiny: Tiny) -> None:
    body = tiny("llama").get_submodule("model")
    ids = torch.arange(10).reshape(2, 5)
    with torch.no_grad():
        expected = body(ids, use_cache=False).last_hidden_state
        torch.testing.assert_close(export(body).module()(ids), expected)


def test_a_plain_module_that_returns_a_tensor() -> None:
    module = nn.Sequential(nn.Embedding(16, 4), nn.Linear(4, 3)).eval()
    ids = torch.arange(6).reshape(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(export(module).module()(ids), module(ids))


class Branches(nn.Module):
    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        if int(input_ids.sum()) > 3:
            return input_ids.float()
        return -input_ids.float()


class Returns(nn.Module):
    def forward(self, input_ids: torch.Tensor) -> Any:
        return {"something": input_ids}


class EncoderDecoder(nn.Module):
    class config:
        is_encoder_decoder = True


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Branches().eval(), "Branches cannot be exported by torch.export: "),
        (Returns().eval(), "Returns returns neither a tensor nor logits nor a last hidden state."),
        (nn.Linear(2, 2), "Linear is in training mode: call .eval() on it first."),
        (
            EncoderDecoder().eval(),
            "EncoderDecoder is an encoder with a decoder: models with one input, input_ids, are"
            " compiled now.",
        ),
    ],
)
def test_sentence(module: nn.Module, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        export(module)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)
