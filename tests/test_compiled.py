"""The Python API from end to end, on tiny random models of every promised architecture."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from models import ARCHITECTURES, tiny_model, tiny_tokenizer

import afmc
from afmc import CompiledModel, load_target
from afmc.errors import ArtifactError, ModelError, OptionError, TextError
from afmc.text import Text

# Small enough that every matrix is cut by rows and by columns.
SMALL = {"crossbar.rows": 20, "crossbar.columns": 24}
TARGETS = {
    "ideal": load_target("ideal-512", SMALL),
    "noisy": load_target("afm-512", SMALL),
    "quantised": load_target("afm-512", SMALL).without_noise(),
}
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)


@cache
def compiled(architecture: str, target: str = "noisy", **options: Any) -> CompiledModel:
    return afmc.compile(
        tiny_model(architecture),
        TARGETS[target],
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        **options,
    )


def logits(module: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(input_ids=ids).logits


@pytest.fixture
def ids(generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 39, (3, 21), generator=generator)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_on_perfect_tiles_every_architecture_gives_its_own_logits(
    architecture: str, ids: torch.Tensor
) -> None:
    model = compiled(architecture, "ideal")
    expected = logits(tiny_model(architecture), ids)
    module = model.write()
    on_tiles = [m for m in module.modules() if isinstance(m, afmc.TileLinear)]
    assert len(on_tiles) == len(model.program.analog) > 8
    assert len(model.program.blocks) > 4 * len(on_tiles) / 2
    torch.testing.assert_close(logits(module, ids), expected)
    torch.testing.assert_close(model.graph()(ids), expected)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_module_and_graph_give_the_same_logits_on_noisy_tiles(
    architecture: str, ids: torch.Tensor
) -> None:
    model = compiled(architecture)
    got = logits(model.write(seed=1), ids)
    torch.testing.assert_close(model.graph()(ids), got, rtol=1e-5, atol=1e-5)
    assert (got - logits(model.digital, ids)).abs().max() > 0.01


def test_the_graph_calls_tiles_and_no_longer_holds_their_weights() -> None:
    model = compiled("gpt2")
    graph = model._graph
    calls = [n for n in graph.graph.nodes if n.target is torch.ops.afmc.mvm.default]
    assert len(calls) == len(model.program.analog) == 9
    assert not any("c_attn.weight" in name for name in graph.state_dict)
    assert "transformer.h.0.attn.c_attn.bias" in graph.state_dict
    with pytest.raises(RuntimeError, match="afmc::mvm has no tiles"):
        graph.module()(torch.zeros(2, 4, dtype=torch.long))


def test_instances_and_seeds(ids: torch.Tensor) -> None:
    model = compiled("llama")
    first = logits(model.write(seed=0, instance=0), ids)
    others = [logits(model.write(seed=s, instance=i), ids) for s, i in ((0, 1), (1, 0))]
    assert all((other - first).abs().max() > 0.01 for other in others)
    assert torch.equal(logits(model.write(seed=0, instance=0), ids), first)


def test_merging_changes_the_tiles_but_not_a_noiseless_product(ids: torch.Tensor) -> None:
    merged = compiled("llama", "quantised")
    apart = afmc.compile(
        tiny_model("llama"),
        TARGETS["quantised"],
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        settings={"merge.enabled": False},
    )
    assert merged.summary["blocks"] < apart.summary["blocks"]
    assert torch.equal(logits(merged.write(), ids), logits(apart.write(), ids))


def test_generation_with_its_cache_equals_generation_without() -> None:
    model = compiled("llama", "quantised")
    module: Any = model.write()
    prompt = torch.tensor([[5, 9, 13]])
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    with torch.inference_mode():
        assert torch.equal(
            module.generate(prompt, use_cache=True, **options),
            module.generate(prompt, use_cache=False, **options),
        )
    assert isinstance(model.run("the quick", max_tokens=5), str)


def test_ranges_are_calibrated_per_input() -> None:
    program = compiled("llama").program
    ranges = {m.module: m.input_range for m in program.matrices}
    attention = "model.layers.0.self_attn"
    assert all(r is not None and r > 0 for r in ranges.values())
    assert ranges[f"{attention}.q_proj"] == ranges[f"{attention}.k_proj"]
    assert ranges[f"{attention}.q_proj"] != ranges[f"{attention}.o_proj"]
    assert program.calibration is not None
    assert (program.calibration.method, program.calibration.tokens) == ("std:18", 256)
    assert compiled("llama", "ideal").program.calibration is None


def test_calibration_is_what_it_says(generator: torch.Generator) -> None:
    """The lm_head's input, computed by hand over the same window."""
    model = tiny_model("llama")
    window = torch.tensor([tiny_tokenizer()(TEXT.content)["input_ids"][:256]]).view(4, 1, 64)
    with torch.inference_mode():
        hidden = [model.model(w).last_hidden_state for w in window]  # type: ignore[operator]
    expected = {
        "std:3": sum(3 * float(h.std()) for h in hidden) / 4,
        "percentile:100": sum(float(h.abs().max()) for h in hidden) / 4,
        "percentile:50": sum(float(h.abs().median()) for h in hidden) / 4,
    }
    for method, value in expected.items():
        got = compiled("llama", calibration=method).program.matrix("lm_head.weight").input_range
        assert got == pytest.approx(value, rel=1e-5)


def test_saved_and_loaded_it_computes_the_same(tmp_path: Path, ids: torch.Tensor) -> None:
    model = compiled("qwen2")
    expected = logits(model.write(seed=4), ids)
    model.save(tmp_path / "out")
    again = afmc.load(tmp_path / "out")
    assert torch.equal(logits(again.write(seed=4), ids), expected)
    torch.testing.assert_close(again.graph()(ids), expected, rtol=1e-5, atol=1e-5)
    assert again.inspect()["tiles_used"] == model.inspect()["tiles_used"]
    assert again.levers == model.levers
    assert not list((tmp_path / "out").rglob("*.bin"))
    with zipfile.ZipFile(tmp_path / "out" / "graph.pt2") as archive:
        pickles = [n for n in archive.namelist() if n.endswith(".pt") and archive.read(n)]
    assert pickles == []


def test_the_same_compile_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        afmc.compile(
            tiny_model("llama"), TARGETS["noisy"], tokenizer=tiny_tokenizer(), text=TEXT
        ).save(tmp_path / name)
    for file in ("program.json", "blocks.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return (exec, ("raise SystemExit('pickle ran')",))


def test_a_graph_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    import pickle

    compiled("llama").save(tmp_path / "out")
    path = tmp_path / "out" / "graph.pt2"
    hostile = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(hostile, "w") as new:
        for name in old.namelist():
            payload = pickle.dumps(Trap())
            new.writestr(name, payload if name.endswith(".pt") else old.read(name))
    hostile.replace(path)
    with pytest.raises(ArtifactError, match=r"holds pickled data .*, which could run code"):
        afmc.load(tmp_path / "out").graph()


def test_validation_measures_what_it_says() -> None:
    model = compiled("llama")
    result = model.validate(TEXT, tokens=200, window=32, instances=3, seed=7)
    windows = torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:192]).view(6, 32)
    assert (result.tokens, result.scored_tokens) == (192, 6 * 31)

    def log_p(module: Any) -> torch.Tensor:
        return logits(module, windows)[:, :-1].double().log_softmax(-1)

    def perplexity(log_q: torch.Tensor) -> float:
        return float(-log_q.gather(2, windows[:, 1:, None]).mean()).__rpow__(torch.e)

    expected = log_p(model.digital)
    assert result.digital_perplexity == pytest.approx(perplexity(expected), rel=1e-5)
    for index in range(3):
        got = log_p(model.write(seed=7, instance=index))
        kl = float((expected.exp() * (expected - got)).sum(-1).mean())
        agree = float((expected.argmax(-1) == got.argmax(-1)).double().mean())
        assert result.perplexity.values[index] == pytest.approx(perplexity(got), rel=1e-5)
        assert result.kl_divergence.values[index] == pytest.approx(kl, rel=1e-4)
        assert result.top1_agreement.values[index] == pytest.approx(agree)
    values = torch.tensor(result.perplexity.values, dtype=torch.float64)
    assert result.perplexity.std == pytest.approx(float(values.std()))
    low, high = result.perplexity.interval_95 or (0, 0)
    # Student's t for two degrees of freedom: 4.3027
    assert high - low == pytest.approx(2 * 4.302653 * float(values.std()) / 3**0.5)


def test_perfect_tiles_validate_as_the_digital_model() -> None:
    result = compiled("gpt2", "ideal").validate(TEXT, tokens=64, window=32, instances=1)
    assert result.perplexity.mean == pytest.approx(result.digital_perplexity, rel=1e-5)
    assert result.kl_divergence.mean == pytest.approx(0, abs=1e-6)
    assert result.top1_agreement.mean == 1
    assert result.perplexity.std is None and result.perplexity.interval_95 is None
    assert json.loads(json.dumps(result.to_json()))["instances"] == 1


BAD_CALLS: list[tuple[Callable[[CompiledModel], object], type[Exception], str]] = [
    (
        lambda m: m.validate(TEXT, tokens=10, window=32),
        OptionError,
        "--window must be at least 2 and at most --tokens, but they are 32 and 10.",
    ),
    (
        lambda m: m.validate(TEXT, tokens=4096, window=65),
        OptionError,
        "--window 65 is longer than the 64 positions of LlamaForCausalLM.",
    ),
    (
        lambda m: m.validate(Text("short", "abc"), tokens=64, window=32),
        TextError,
        "the text has 3 tokens, less than one window of 32; give a longer one or a smaller "
        "--window.",
    ),
    (
        lambda m: m.validate(TEXT, tokens=64, window=32, instances=0),
        OptionError,
        "--instances must be at least 1, but is 0.",
    ),
    (lambda m: m.run("a", max_tokens=0), OptionError, "--max-tokens must be at least 1, but is 0."),
    (lambda m: m.run(""), TextError, "the prompt is empty; give it at least one word."),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), BAD_CALLS)
def test_bad_calls_get_one_sentence(
    call: Callable[[CompiledModel], object], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        call(compiled("llama"))
    assert str(caught.value) == sentence


def test_an_encoder_compiles_but_predicts_no_next_token() -> None:
    with pytest.raises(ModelError) as caught:
        compiled("bert").validate(TEXT, tokens=64, window=32)
    assert str(caught.value) == (
        "BertForMaskedLM (BertForMaskedLM) does not predict the next token; perplexity and text "
        "need a causal language model."
    )


def test_converters_need_a_tokenizer_to_calibrate() -> None:
    with pytest.raises(ModelError) as caught:
        afmc.compile(tiny_model("llama"), TARGETS["noisy"])
    assert str(caught.value) == (
        "LlamaForCausalLM has no tokenizer, so its input ranges cannot be calibrated on text; "
        "save one beside the model or pass tokenizer=..."
    )
    assert afmc.compile(tiny_model("llama"), TARGETS["ideal"]).summary["blocks"] > 0


@pytest.mark.parametrize("method", ["std", "std:0", "std:x", "percentile:101", "max:1", ""])
def test_an_unknown_calibration(method: str) -> None:
    with pytest.raises(OptionError, match=f"calibration '{method}' is not 'std:K' with K above 0"):
        afmc.compile(tiny_model("llama"), TARGETS["noisy"], calibration=method)


def test_a_linear_layer_inside_another_module_stays_digital() -> None:
    """Mixtral's router and experts are not modules that tiles can replace."""
    model = compiled("mixtral", "ideal")
    assert model.program.digital is not None
    routers = [name for name in model.program.digital if "gate" in name]
    assert len(routers) == 2
    reasons = [r.reason for r in model.program.remainder if "expert" in r.reason]
    assert reasons


def test_tile_linear_in_the_readme_style(generator: torch.Generator) -> None:
    linear = torch.nn.Linear(64, 32)
    tile = afmc.TileLinear(linear, load_target("hermes-64"), input_range=3.0, generator=generator)
    x = torch.randn(5, 64, generator=generator)
    with torch.no_grad():
        error = (tile(x) - linear(x)).norm() / linear(x).norm()
    assert 0.01 < error < 0.3
    assert math_is_free_of_noise(tile)


def math_is_free_of_noise(tile: afmc.TileLinear) -> bool:
    """The parameters are the model's own; only what the tiles hold is noisy."""
    return tile.weight.shape == (32, 64) and "cells0" not in tile.state_dict()
