"""The Python API from end to end, on tiny random models of every promised architecture."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import ARCHITECTURES, tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file

import afmc
from afmc import CompiledModel, load_target
from afmc.compiler.pipeline import load_passes
from afmc.data.text import Text
from afmc.errors import ModelError, OptionError, TextError
from afmc.evaluation import perplexity
from afmc.evaluation.figures import shown
from afmc.hardware.conditions import Condition
from afmc.hardware.defects import ALL, DEFECT, Defects
from afmc.lower.operators import bind_tiles
from afmc.mlir.torch_graph import export_graph
from afmc.simulator import reference
from afmc.simulator.devices import HermesPcm
from afmc.simulator.replicas import Layer
from afmc.simulator.row_slice import RowSlice
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece
from afmc.simulator.tiles import program as program_tiles

# Small enough that every matrix is cut by rows and by columns.
SMALL = {"crossbar.rows": 16, "crossbar.columns": 24}
# Blocks that leave room for others, side by side.
UNEVEN = {"crossbar.rows": 20, "crossbar.columns": 24}
TARGETS = {
    "ideal": load_target("ideal-512", SMALL),
    "noisy": load_target("afm-512-projected", SMALL),
    "drifting": load_target("afm-512-projected:drift", SMALL),
    "quantised": load_target("afm-512-projected", SMALL).without_noise(),
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
        level=0,
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
    assert len(on_tiles) == sum(m.copies for m in model.program.analog) > 8
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
    graph = model.digital_graph()
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
        level=0,
    )
    assert merged.summary.blocks < apart.summary.blocks
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
    for key in ("wall_s", "stages_s"):  # of the compile, not of what came after it
        assert again.inspect()[key] == model.inspect()[key]
    assert model.inspect()["wall_s"] == pytest.approx(sum(model.inspect()["stages_s"].values()))
    assert not list((tmp_path / "out").rglob("*.bin"))
    made = export_graph(tmp_path / "out", tmp_path / "graph.pt2")
    assert made.counts["calls"] > 0
    with zipfile.ZipFile(tmp_path / "graph.pt2") as archive:
        pickles = [n for n in archive.namelist() if n.endswith(".pt") and archive.read(n)]
    assert pickles == []


def test_the_same_compile_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        afmc.compile(
            tiny_model("llama"), TARGETS["noisy"], tokenizer=tiny_tokenizer(), text=TEXT, level=0
        ).save(tmp_path / name)
    for file in ("program.json", "blocks.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_graph_on_disk_is_for_others(tmp_path: Path, ids: torch.Tensor) -> None:
    model = compiled("gpt2")
    expected = logits(model.write(), ids)
    model.save(tmp_path / "out")
    export_graph(tmp_path / "out", tmp_path / "graph.pt2")
    graph = torch.export.load(tmp_path / "graph.pt2").module()
    with bind_tiles(model.tiles), torch.inference_mode():
        torch.testing.assert_close(graph(ids), expected, rtol=1e-5, atol=1e-5)


def test_blocks_that_take_turns_compute_what_blocks_alone_do(ids: torch.Tensor) -> None:
    """With these cuts, converters without noise and ranges by column, it does not matter where
    blocks sit."""
    found = {}
    for rule in ("exclusive", "serial"):
        target = load_target(
            "afm-512-projected",
            {**SMALL, "tile.co_location": rule, "device.noise": None, "output.range": "column"},
        )
        settings = {"merge.enabled": True, "split.style": "full"}
        model = afmc.compile(
            tiny_model("llama"),
            target,
            tokenizer=tiny_tokenizer(),
            text=TEXT,
            settings=settings,
            level=0,
        )
        proof = model.program.allocation
        assert proof is not None
        assert (proof.tiles < len(model.program.blocks)) == (proof.turns > 1) == (rule == "serial")
        found[rule] = logits(model.write(), ids)
    torch.testing.assert_close(found["serial"], found["exclusive"], rtol=0, atol=0)


@pytest.mark.parametrize(("rule", "by"), [("parallel", "column"), ("serial", "tile")])
def test_a_compiled_model_multiplies_as_the_reference_does(
    rule: str, by: str, generator: torch.Generator
) -> None:
    """Merged groups, shared tiles, Conv1D and Linear: each layer, from the program's own tables."""
    target = load_target(
        "hermes-64",
        {**UNEVEN, "tile.co_location": rule, "output.range": by, "device.scale": by},
    )
    for architecture in ("llama", "gpt2"):
        model = afmc.compile(
            tiny_model(architecture), target, tokenizer=tiny_tokenizer(), text=TEXT, level=0
        )
        program = model.program
        assert program.allocation is not None and program.allocation.tiles < len(program.blocks)
        model.write(seed=5, instance=2)
        crossbars = np.unique(program.placements[["chip", "tile", "tier"]], return_inverse=True)[1]
        largest: dict[int, float] = {}
        parts: dict[int, list[tuple[Piece, int]]] = {}
        wholes = {}
        for index, group in enumerate(program.groups):
            weights = [model.tiles[name].weight for name in group.members]
            stored = [program.matrix(name).stored for name in group.members]
            wholes[index] = torch.cat(
                [w if s == "cols_rows" else w.T for w, s in zip(weights, stored, strict=True)]
            )
        for place, crossbar in zip(program.placements.tolist(), crossbars.tolist(), strict=True):
            block, *address = place
            group_index, _, _, row, col, rows, cols = program.blocks[block].tolist()
            piece = Piece(row, col, rows, cols, Address(*address))
            parts.setdefault(group_index, []).append((piece, crossbar))
            biggest = float(piece.of(wholes[group_index]).abs().max())
            largest[crossbar] = max(largest.get(crossbar, 0), biggest)
        for index, group in enumerate(program.groups):
            pieces = [piece for piece, _ in parts[index]]
            maxima = {p.crossbar: largest[c] for p, c in parts[index]} if by == "tile" else None
            held = program_tiles(
                wholes[index],
                pieces,
                target,
                HermesPcm(2),
                seed=5,
                instance=2,
                crossbar_max=maxima,
            )
            input_range = program.matrix(group.members[0]).input_range
            x = torch.randn(40, group.rows, generator=generator)
            slow = reference.multiply(x, held, pieces, target, input_range)
            fast = torch.cat([model.tiles[name].multiply(x) for name in group.members], dim=1)
            assert input_range is not None
            step = (2 * input_range * 10 * held.w_max / 254).amax(dim=0)
            error = ((fast - slow).abs() / step).double()
            assert (error > 1e-3).double().mean() < 1e-2  # sums between two codes
            assert error.max() < 1.001


def test_every_block_has_its_own_noise() -> None:
    model = compiled("llama")
    model.write()
    held = model.tiles["model.layers.0.mlp.gate_proj.weight"]
    other = model.tiles["model.layers.1.mlp.gate_proj.weight"]

    def noise(tile: Layer) -> torch.Tensor:
        assert isinstance(tile, afmc.TileLinear)
        first = tile.slices[0]
        assert isinstance(first, RowSlice)
        return first.get_buffer("cells0") * first.gain[:, None] - tile.weight[:, :16]

    a, b = noise(held).flatten(), noise(other).flatten()
    assert a.std() > 0 and b.std() > 0
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.2


def test_a_linear_with_another_forward_stays_digital() -> None:
    class Linear(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 3 * super().forward(x)

    module = tiny_model("llama")
    module.model.layers[0].mlp.up_proj = Linear(32, 48, bias=False)  # type: ignore[union-attr, index]
    model = afmc.compile(module.eval(), TARGETS["ideal"], level=0)
    assert model.program.digital is not None
    assert list(model.program.digital) == ["model.layers.0.mlp.up_proj.weight"]


def test_ranges_that_come_with_a_checkpoint_are_used(tmp_path: Path) -> None:
    """As AIHWKIT-Lightning leaves them beside the weights."""
    tiny_model("llama").save_pretrained(tmp_path / "tiny")  # type: ignore[operator]
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    file = tmp_path / "tiny" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.self_attn.q_proj.input_range"] = torch.tensor([3.5, 3.5])
    tensors["model.layers.0.self_attn.q_proj.x_min"] = torch.tensor([-1e-5, -1e-5])
    save_file(tensors, file, metadata={"format": "pt"})
    said: list[str] = []
    model = afmc.compile(
        tmp_path / "tiny",
        TARGETS["noisy"],
        text=TEXT,
        progress=lambda what, *_: said.append(what),
        level=0,
    )
    ranges = {m.module: m.input_range for m in model.program.matrices}
    assert ranges["model.layers.0.self_attn.q_proj"] == 3.5
    assert ranges["model.layers.0.self_attn.k_proj"] not in (None, 3.5)
    # one row driver has one range: q is no longer merged with k and v
    groups = [group.members for group in model.program.groups]
    assert ("model.layers.0.self_attn.q_proj.weight",) in groups
    assert not any("does not use" in line for line in said)

    tensors["model.layers.0.self_attn.q_proj.input_range"] = torch.tensor([3.5, 4.5])
    save_file(tensors, file, metadata={"format": "pt"})
    model = afmc.compile(tmp_path / "tiny", TARGETS["noisy"], text=TEXT, level=0)
    matrix = model.program.matrix("model.layers.0.self_attn.q_proj.weight")
    assert (matrix.input_range, matrix.slice_ranges) == (4.5, (3.5, 4.5))


def test_an_input_that_is_always_zero_is_named() -> None:
    module = tiny_model("llama").requires_grad_(False)
    module.model.layers[1].mlp.up_proj.weight.zero_()  # type: ignore[union-attr, index]
    with pytest.raises(ModelError) as caught:
        afmc.compile(module, TARGETS["noisy"], tokenizer=tiny_tokenizer(), text=TEXT, level=0)
    assert str(caught.value) == (
        "the input of model.layers.1.mlp.down_proj is zero over letters, by std:18; calibrate on "
        "more or by another method."
    )


def test_passes_that_place_nothing() -> None:
    with pytest.raises(OptionError) as caught:
        afmc.compile(
            tiny_model("llama"),
            TARGETS["ideal"],
            passes=load_passes(["partition", "merge"]),
            level=0,
        )
    assert str(caught.value) == "the passes partition, merge do not allocate and place every block."


def test_validation_measures_what_it_says() -> None:
    model = compiled("llama")
    seen: dict[str, list[int]] = {}
    result = model.validate(
        TEXT,
        tokens=200,
        window=32,
        instances=3,
        seed=7,
        progress=lambda what, done, of: seen.setdefault(f"{what}/{of}", []).append(done),
    )
    assert seen == {
        "digital/192": [32] * 6,
        **{f"instance {i} of 3/192": [32] * 6 for i in (1, 2, 3)},
        "verdict/0": [0],
    }
    windows = torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:192]).view(6, 32)
    assert (result.tokens, result.scored_tokens) == (192, 6 * 31)

    def log_p(module: Any) -> torch.Tensor:
        return logits(module, windows)[:, :-1].double().log_softmax(-1)

    def perplexity(log_q: torch.Tensor) -> float:
        return float(-log_q.gather(2, windows[:, 1:, None]).mean()).__rpow__(torch.e)

    expected = log_p(model.digital)
    assert result.digital_perplexity == pytest.approx(perplexity(expected), rel=1e-5)
    assert 1e-4 < result.programming_s < result.wall_s
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
    # Student's t for two degrees of freedom: 4.3027; on the logarithm
    half = 4.302653 * float(values.std() / values.mean()) / 3**0.5
    assert math.log(high / low) == pytest.approx(2 * half)


def test_a_window_is_as_long_as_the_model_and_the_tokens_allow() -> None:
    for tokens, window in ((128, 64), (48, 48)):
        assert compiled("llama").validate(TEXT, tokens=tokens, instances=1).window == window


def test_report_shows_a_validation_of_this_model(tmp_path: Path) -> None:
    model = compiled("llama")
    text = Text("letters", "the quick brown fox jumps over the lazy dog. " * 100)
    result = model.validate(text, tokens=64, window=32, instances=2)
    made = model.report(tmp_path / "page.html", validations=[result])
    page = made.read_text()
    assert f"<b>{shown(result.perplexity).mean}</b>" in page and "2 instances, seed 0" in page
    assert "ithout noise" not in page
    other = compiled("gpt2")
    with pytest.raises(OptionError, match=r"the validation is of .* not of"):
        other.report(tmp_path / "other.html", validations=[result])
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    model.save(tmp_path / "out")
    assert afmc.load(tmp_path / "out").report(tmp_path / "page.html").exists()


def test_a_validation_says_whether_anything_was_noisy(tmp_path: Path) -> None:
    model = compiled("llama")
    common: dict[str, Any] = {"text": TEXT, "tokens": 64, "window": 32, "instances": 1}
    noisy = model.validate(**common)
    quiet = model.without_noise().validate(**common)
    set_so = model.validate(**common, settings={"device.noise": None})
    assert [each.to_json()["noise"] for each in (noisy, quiet, set_so)] == [True, False, False]
    page = model.report(tmp_path / "page.html", validations=[noisy, quiet]).read_text()
    assert page.count("<h3>letters, 1 instances, seed 0</h3>") == 1
    assert page.count("<h3>letters, 1 instances, seed 0, without noise</h3>") == 1
    assert page.count("Without noise: the converters&#39; bits alone.") == 1


def test_conditions_are_measured_one_by_one() -> None:
    """Each row of several is what it is alone; compensation and calibration do what they should."""
    model = compiled("llama", "drifting")
    common: dict[str, Any] = {"text": TEXT, "tokens": 64, "window": 32, "instances": 2}
    result = model.validate(
        **common, at=["0s", "1y"], temperature=["25C", 60.0], compensation=["none", "column"]
    )
    assert len(result.outcomes) == 8
    for outcome in result.outcomes[::3]:
        alone = model.validate(
            **common,
            at=[outcome.condition.at_s],
            temperature=[outcome.condition.temperature_C],
            compensation=[outcome.condition.compensation],
        )
        assert alone.outcomes == (outcome,)
    kl = {str(o.condition): o.kl_divergence.mean for o in result.outcomes}
    assert kl["1y, 25C, comp. none"] > 1.5 * kl["0s, 25C, comp. none"]
    assert kl["1y, 25C, comp. column"] < kl["1y, 25C, comp. none"]
    assert kl["0s, 60C, comp. column"] < kl["0s, 60C, comp. none"]


def test_text_of_another_day_is_from_other_tiles() -> None:
    model = compiled("llama", "drifting")
    held = []
    for condition in (None, Condition(30 * 86400.0), Condition(temperature_C=85.0)):
        model.run("the quick", max_tokens=2, condition=condition)
        head = model.tiles["lm_head.weight"]
        assert isinstance(head, afmc.TileLinear)
        first = head.slices[0]
        assert isinstance(first, RowSlice)
        held.append(first.get_buffer("cells0").clone())
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.isclose(held[one], held[other]).all()


def test_calibration_costs_what_it_costs() -> None:
    model = compiled("llama", "drifting")
    spread = {
        "output.gain_std": 0.3,
        "input.bits": 12,
        "output.bits": 12,
        "device.noise": None,
        "tile.read_latency_ns": 100.0,
    }
    result = model.validate(TEXT, tokens=64, window=32, instances=2, calibrate=64, settings=spread)
    without, with_it = result.outcomes
    assert with_it.kl_divergence.mean < 0.5 * without.kl_divergence.mean
    cost = result.calibration
    assert cost is not None and cost.probes == 64
    assert cost.reads == 64 * len(model.program.placements)
    assert cost.digital_macs == 64 * sum(m.weights for m in model.program.analog)
    assert cost.tile_time_ns == 64 * 100.0  # one block a tile
    columns = sum(m.cols * math.ceil(m.rows / 16) for m in model.program.analog)
    assert cost.digital_operations_per_token == columns
    assert model.target.tile.read_latency_ns == 40.0  # the model itself is as it was


def test_defects_hurt_where_they_are() -> None:
    model = compiled("llama", "ideal")
    place = model.program.placements[0]
    where = (place["chip"], place["tile"], place["tier"], ALL, ALL, ALL, ALL, 0)
    broken = Defects(np.array([where], dtype=DEFECT))
    model.write(defects=broken)
    group, _, _, row, col, rows, cols = model.program.blocks[place["block"]].tolist()
    [first, *_] = model.program.groups[group].members
    tile = model.tiles[first]
    assert isinstance(tile, afmc.TileLinear)
    held = tile.slices[0]
    assert isinstance(held, RowSlice)
    dead = held.get_buffer("cells0")[col : col + cols, row : row + rows]
    assert dead.numel() and float(dead.abs().max()) == 0
    elsewhere = [t for name, t in model.tiles.items() if name != first]
    assert all(float(t(torch.ones(1, t.in_features)).abs().max()) > 0 for t in elsewhere)


def test_many_chunks_are_one_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digital log-probabilities of one window at a time, and of all at once."""
    options: dict[str, Any] = {"tokens": 192, "window": 32, "instances": 2}
    whole = compiled("llama").validate(TEXT, **options).to_json()
    monkeypatch.setattr(perplexity, "_KEEP_BYTES", 1)
    parts = compiled("llama").validate(TEXT, **options).to_json()
    for key in ("digital", "analog", "kl_divergence", "top1_agreement", "tokens", "scored_tokens"):
        assert parts[key] == whole[key]


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
        "--window 65: 65 tokens are more than the 64 positions of LlamaForCausalLM.",
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
    (
        lambda m: m.run("the quick", max_tokens=60),
        OptionError,
        "prompt and --max-tokens: 69 tokens are more than the 64 positions of LlamaForCausalLM.",
    ),
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
        afmc.compile(tiny_model("llama"), TARGETS["noisy"], level=0)
    assert str(caught.value) == (
        "LlamaForCausalLM has no tokenizer, so its input ranges cannot be calibrated on text; "
        "save one beside the model or pass tokenizer=..."
    )
    assert afmc.compile(tiny_model("llama"), TARGETS["ideal"], level=0).summary.blocks > 0


@pytest.mark.parametrize("method", ["std", "std:0", "std:x", "percentile:101", "max:1", ""])
def test_an_unknown_calibration(method: str) -> None:
    with pytest.raises(OptionError, match=f"calibration '{method}' is not 'error', 'std:K' with K"):
        afmc.compile(tiny_model("llama"), TARGETS["noisy"], calibration=method, level=0)


def test_routers_stay_digital() -> None:
    model = compiled("mixtral", "ideal")
    assert model.program.digital is not None
    assert list(model.program.digital) == [f"model.layers.{i}.mlp.gate.weight" for i in (0, 1)]
    assert set(model.program.digital.values()) == {
        "what it computes is ranked, as a router's scores are: noise would change the choice"
    }


def test_tile_linear_in_the_readme_style(generator: torch.Generator) -> None:
    linear = torch.nn.Linear(64, 32)
    tile = afmc.TileLinear(linear, load_target("hermes-64"), input_range=3.0, generator=generator)
    x = torch.randn(5, 64, generator=generator)
    with torch.no_grad():
        error = (tile(x) - linear(x)).norm() / linear(x).norm()
    assert 0.01 < error < 0.3
    # The parameters are the model's own; what the tiles hold is not saved with them.
    assert tile.weight is linear.weight
    assert set(tile.state_dict()) == {"weight", "bias"}
