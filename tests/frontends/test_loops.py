"""Models that loop over tokens are counted for one of them, whatever lengths are traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from families import FAMILIES
from models import tiny_model, tiny_tokenizer
from torch.export import ExportedProgram

import afmc
from afmc.data.text import Text
from afmc.errors import ModelError, OptionError
from afmc.frontends.graph import export as exporting
from afmc.frontends.graph import loops
from afmc.frontends.graph.export import SEQUENCE, export, length_of
from afmc.frontends.graph.matrices import account
from afmc.frontends.graph.stamp import find_structure
from afmc.mlir.torch_graph import export_graph


def made(family: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FAMILIES[family]().eval()


@pytest.mark.parametrize("family", ["Mamba", "RecurrentGemma"])
def test_the_same_whatever_the_lengths(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for longer, shorter in ((17, 11), (19, 13)):
        monkeypatch.setattr(loops, "SEQUENCE", longer)
        monkeypatch.setattr(loops, "_SHORTER", shorter)
        module = made(family)
        traced = account(export(module, dynamic=False, tokens=longer))
        one = loops.for_one_token(traced, module).structure()
        assert sum(rest.count for rest in traced.structure().remainder) > sum(
            rest.count for rest in one.remainder
        )
        found.append(one)
    assert found[0].matrices == found[1].matrices
    assert found[0].remainder == found[1].remainder
    for ours, theirs in zip(found[0].work, found[1].work, strict=True):
        assert (ours.after, ours.kind) == (theirs.after, theirs.kind)
        assert ours.values == pytest.approx(theirs.values, rel=0.01)


def test_each_operation_of_the_loop_is_counted_once() -> None:
    layers = 2
    remainder = {(r.operation, r.reason): r.count for r in find_structure(made("Mamba")).remainder}
    read_out = "both operands are activations"
    assert remainder["aten.matmul.default", read_out] == layers
    assert remainder["aten.mul.Tensor", "element-wise"] == 6 * layers


def test_layers_that_are_alike_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        module = hf.MambaForCausalLM(
            hf.MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=6, state_size=4)
        ).eval()
    whole = loops.trace(module).structure()
    lengths = []

    def seen(module: torch.nn.Module, **options: Any) -> ExportedProgram:
        exported = export(module, **options)
        layers = {path for path in account(exported).modules if path.endswith(".mixer")}
        lengths.append((options.get("tokens", SEQUENCE), len(layers)))
        return exported

    monkeypatch.setattr(loops, "export", seen)
    stamped = find_structure(module)
    assert lengths == [(17, 3), (11, 3)]  # of six layers
    assert stamped.matrices == whole.matrices and stamped.remainder == whole.remainder


def test_other_models_are_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_model("llama")
    traced = account(export(module, dynamic=False))
    monkeypatch.setattr(loops, "export", None)
    assert loops.for_one_token(traced, module) is traced


def test_what_depends_on_the_length_is_refused() -> None:
    class Uneven(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(60, 8)
            self.few, self.many = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            x = self.embed(input_ids)
            layer = self.many if input_ids.shape[1] > 12 else self.few
            for place in range(input_ids.shape[1]):
                x = x + x[:, place : place + 1].sin()
            return layer(x)

    with pytest.raises(ModelError) as error:
        afmc.compile(Uneven().eval(), "ideal-512", tokenizer=tiny_tokenizer(), level=0)
    assert str(error.value) == (
        "Uneven multiplies by other matrices, or does other work for a token, where a text has 17 "
        "tokens and where it has 11."
    )


def test_mamba_on_tiles(tmp_path: Path) -> None:
    """Validated and run at any length; the graph takes one."""
    module = made("Mamba")
    model = afmc.compile(module, "hermes-64", tokenizer=tiny_tokenizer(), level=0)
    assert len(model.program.analog) == 7
    again = afmc.load(model.save(tmp_path / "out"))
    export_graph(tmp_path / "out", tmp_path / "graph.pt2")
    assert torch.export.load(tmp_path / "graph.pt2") is not None
    text = Text("words", "some words. " * 40)
    found = again.validate(text, tokens=64, window=32, instances=1)
    assert found.scored_tokens == 62 and found.outcomes
    assert len("".join(again.run("some", max_tokens=5))) > 0
    assert length_of(export(made("Mamba"))) == SEQUENCE == exporting.tokens_of_example(None)
    with pytest.raises(OptionError) as error:
        model.graph()(torch.zeros(1, 5, dtype=torch.long))
    assert str(error.value) == (
        "the graph of MambaForCausalLM takes 17 tokens, because the model loops over them, not 5: "
        "call what write() gives for other lengths."
    )
