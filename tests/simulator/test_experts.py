"""Banks of experts from the model to tiles and back, and which experts a text uses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer
from programs import program_of
from torch.nn import functional

import afmc
from afmc import CompiledModel, load_target
from afmc.data.text import Text
from afmc.errors import OptionError
from afmc.hardware.defects import ALL, DEFECT, OFF, Defects
from afmc.program.model import Matrix
from afmc.program.observed import Routing
from afmc.program.routing import read_routing, with_routing
from afmc.simulator import reference
from afmc.simulator.devices.base import device_of
from afmc.simulator.experts import DigitalBank, GroupedExperts, TileBank, by_expert
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece
from afmc.simulator.tiles import program as program_tiles

SMALL = {"crossbar.rows": 20, "crossbar.columns": 24}
IDEAL = load_target("ideal-512", SMALL)
NOISY = load_target("afm-512-projected", SMALL)
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 40)
EXPERTS = "model.layers.0.mlp.experts"


@cache
def compiled(target: str = "noisy", **options: Any) -> CompiledModel:
    return afmc.compile(
        tiny_model("qwen3_moe"),
        IDEAL if target == "ideal" else NOISY,
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


def test_rows_go_to_their_expert() -> None:
    x = torch.arange(12.0).reshape(6, 2)
    asked: list[tuple[int, int]] = []

    def product(expert: int, rows: torch.Tensor) -> torch.Tensor:
        asked.append((expert, len(rows)))
        return rows * 10**expert

    y = by_expert(x, torch.tensor([0.0, 2, 2, 5]), 2, product)  # a histogram gives floats
    assert asked == [(1, 2), (3, 3)]  # those without rows are not asked
    factors = torch.tensor([10, 10, 1000, 1000, 1000, 0])[:, None]  # the last row is nobody's
    assert torch.equal(y, x * factors)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_digital_bank(transposed: bool, generator: torch.Generator) -> None:
    weight, bias = torch.randn(3, 4, 5, generator=generator), torch.randn(3, 4, generator=generator)
    bank = DigitalBank(weight.mT if transposed else weight, bias, 4, transposed=transposed)
    x = torch.randn(6, 5, generator=generator)
    expected = [weight[e] @ row + bias[e] for e, row in zip((0, 0, 2, 2, 2, 2), x, strict=True)]
    torch.testing.assert_close(bank(x, torch.tensor([2, 2, 6])), torch.stack(expected))


def test_each_expert_is_what_the_reference_computes(generator: torch.Generator) -> None:
    """On the blocks of its own copy, wherever they are placed."""
    model = compiled()
    model.write(seed=5, instance=2)
    program, target = model.program, model.target
    bank = program.matrix(f"{EXPERTS}.down_proj")
    weight = model.digital.get_parameter(bank.name)
    for expert in range(bank.copies):
        pieces = [
            Piece(row, col, rows, cols, Address(*place))
            for block, *place in program.placements.tolist()
            for group, copy, _, row, col, rows, cols in [program.blocks[block].tolist()]
            if program.groups[group].members == (bank.name,) and copy == expert
        ]
        assert len(pieces) == 2 * 2
        held = program_tiles(weight[expert], pieces, target, device_of(target), seed=5, instance=2)
        x = torch.randn(40, bank.rows, generator=generator)
        slow = reference.multiply(x, held, pieces, target, bank.input_range)
        fast = model.tiles[f"{bank.name}[{expert}]"].multiply(x)
        assert target.output.bound is not None and bank.input_range is not None
        step = (2 * bank.input_range * target.output.bound * held.w_max / 254).amax(dim=0)
        error = ((fast - slow).abs() / step).double()
        assert (error > 1e-3).double().mean() < 1e-2  # sums between two codes
        assert error.max() < 1.001
        assert (held.weight - weight[expert]).abs().max() > 0


def test_every_expert_has_its_own_noise() -> None:
    model = compiled()
    model.write()
    errors = []
    for expert in range(4):
        tile = model.tiles[f"{EXPERTS}.gate_up_proj[{expert}]"]
        product = tile.multiply(0.5 * torch.eye(32))
        errors.append((product - 0.5 * tile.ideal.T).flatten())
    correlation = torch.corrcoef(torch.stack(errors)) - torch.eye(4)
    assert min(error.std() for error in errors) > 0
    assert correlation.abs().max() < 0.1


def test_the_graph_calls_banks_and_no_longer_holds_their_weights() -> None:
    graph = compiled().digital_graph()
    calls = [n for n in graph.graph.nodes if n.target is torch.ops.afmc.grouped_mvm.default]
    assert [call.args[2] for call in calls] == [
        f"{EXPERTS}.{name}" for name in ("gate_up_proj", "down_proj")
    ]
    assert not any("experts" in name for name in graph.state_dict)
    with pytest.raises(RuntimeError, match="has no tiles"):
        graph.module()(torch.zeros(2, 4, dtype=torch.long))


def test_cut_or_whole_merged_or_not_the_model_is_the_same(ids: torch.Tensor) -> None:
    cut = compiled("ideal")
    assert (cut.program.blocks["copy"] > 0).sum() == 3 * (2 * 2 + 2 * 2)
    whole = afmc.compile(
        tiny_model("qwen3_moe"), "ideal-512", settings={"merge.enabled": False}, level=0
    )
    assert len(whole.program.blocks) == sum(m.copies for m in whole.program.analog)
    assert whole.program.routing is None  # there is no tokenizer
    expected = logits(tiny_model("qwen3_moe"), ids)
    for model in (cut, whole):
        torch.testing.assert_close(logits(model.write(), ids), expected)
        torch.testing.assert_close(model.graph()(ids), expected)


def test_one_bank_of_two_may_stay_digital(ids: torch.Tensor) -> None:
    model = compiled("ideal", digital=("down_proj",))
    assert model.program.digital is not None
    assert f"{EXPERTS}.down_proj" in model.program.digital
    assert f"{EXPERTS}.gate_up_proj" not in model.program.digital
    module = model.write()
    experts = module.get_submodule(EXPERTS)
    assert isinstance(experts, GroupedExperts)
    kinds = [type(bank) for bank in experts.banks.values()]
    assert kinds == [TileBank, DigitalBank]
    expected = logits(tiny_model("qwen3_moe"), ids)
    torch.testing.assert_close(logits(module, ids), expected)
    torch.testing.assert_close(model.graph()(ids), expected)


def test_experts_of_the_users_own_stay_digital(ids: torch.Tensor) -> None:
    module = tiny_model("qwen3_moe")
    kind = type(module.get_submodule(EXPERTS))
    own = type("Experts", (kind,), {"__module__": "my_package"})
    module.get_submodule(EXPERTS).__class__ = own
    model = afmc.compile(module, IDEAL, level=0)
    assert model.program.routing is None
    reasons = {name: why for name, why in (model.program.digital or {}).items() if EXPERTS in name}
    assert reasons == {
        f"{EXPERTS}.{name}": "its product is part of Experts, which a tile cannot stand in for"
        for name in ("gate_up_proj", "down_proj")
    }
    torch.testing.assert_close(logits(model.write(), ids), logits(tiny_model("qwen3_moe"), ids))


def test_names_of_parameters_stay() -> None:
    model = compiled()
    assert set(model.write().state_dict()) == set(model.digital.state_dict())


def test_ranges_are_of_what_each_bank_reads() -> None:
    """Recomputed from the original model's own modules."""
    module: Any = tiny_model("qwen3_moe")
    experts = module.get_submodule(EXPERTS)
    read: dict[str, list[float]] = {"gate_up_proj": [], "down_proj": []}

    def look(_: Any, args: tuple[torch.Tensor, ...]) -> None:
        x, which, _ = args
        read["gate_up_proj"].append(18 * float(x.repeat_interleave(2, dim=0).std()))
        hidden = [
            experts.act_fn(gate) * up
            for row, of_row in zip(x, which, strict=True)
            for gate, up in (
                functional.linear(row, experts.gate_up_proj[e]).chunk(2) for e in of_row
            )
        ]
        read["down_proj"].append(18 * float(torch.stack(hidden).std()))

    experts.register_forward_pre_hook(look)
    with torch.inference_mode():
        for window in torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:256]).view(4, 64):
            module(window[None])
    for name, values in read.items():
        found = compiled().program.matrix(f"{EXPERTS}.{name}").input_range
        assert found == pytest.approx(sum(values) / 4, rel=1e-5)


def test_a_stuck_crossbar_is_felt_by_one_expert(ids: torch.Tensor) -> None:
    model = compiled("ideal")
    bank = f"{EXPERTS}.down_proj"
    group = [g.members for g in model.program.groups].index((bank,))
    which = (model.program.blocks["group"] == group) & (model.program.blocks["copy"] == 2)
    places = model.program.placements[which[model.program.placements["block"]]]
    stuck = [(p["chip"], p["tile"], p["tier"], ALL, ALL, ALL, ALL, OFF) for p in places]
    model.write(defects=Defects(np.array(stuck, dtype=DEFECT)))
    x = torch.ones(1, 24)
    dead = {name: float(tile.multiply(x).abs().max()) == 0 for name, tile in model.tiles.items()
            if name.startswith(bank)}  # fmt: skip
    assert dead == {f"{bank}[{expert}]": expert == 2 for expert in range(4)}


def test_columns_of_experts_are_calibrated() -> None:
    model = compiled()
    spread: dict[str, object] = {
        "output.gain_std": 0.3,
        "input.bits": 12,
        "output.bits": 12,
        "device.noise": None,
    }
    result = model.validate(TEXT, tokens=64, window=32, instances=1, calibrate=64, settings=spread)
    without, with_it = result.outcomes
    assert with_it.kl_divergence.mean < 0.5 * without.kl_divergence.mean
    assert result.calibration is not None
    assert result.calibration.digital_macs == 64 * sum(m.weights for m in model.program.analog)


def test_saved_and_loaded_it_computes_the_same(tmp_path: Path, ids: torch.Tensor) -> None:
    model = compiled()
    expected = logits(model.write(seed=4), ids)
    model.save(tmp_path / "out")
    again = afmc.load(tmp_path / "out")
    assert torch.equal(logits(again.write(seed=4), ids), expected)
    assert again.program.routing is not None and model.program.routing is not None
    assert again.program.routing.source == model.program.routing.source
    for module, table in model.program.routing.experts.items():
        assert again.program.routing.experts[module].dtype == np.int32
        assert np.array_equal(again.program.routing.experts[module], table)
    assert again.inspect()["routing"] == model.inspect()["routing"]
    (tmp_path / "out" / "routing.npz").unlink()
    with pytest.raises(afmc.AfmcError, match=r"routing\.npz cannot be read"):
        afmc.load(tmp_path / "out")


# which experts a text uses


def routed(module: Any, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
    """By the original model itself."""
    seen: dict[str, list[torch.Tensor]] = {}
    for path, part in module.named_modules():
        if path.endswith("experts"):

            def note(_: Any, args: tuple[torch.Tensor, ...], path: str = path) -> None:
                seen.setdefault(path, []).append(args[1])

            part.register_forward_pre_hook(note)
    with torch.inference_mode():
        for window in torch.tensor(tiny_tokenizer()(TEXT.content)["input_ids"][:256]).view(4, 64):
            module(window[None])
    return {path: torch.cat(tables).numpy()[:tokens] for path, tables in seen.items()}


@pytest.mark.parametrize("target", ["noisy", "ideal"])  # with and without ranges to calibrate
def test_routing_is_seen_on_the_text(target: str) -> None:
    model = compiled(target)
    routing = model.program.routing
    assert routing is not None and routing.source == "256 tokens of letters"
    expected = routed(tiny_model("qwen3_moe"), 256)
    assert set(routing.experts) == set(expected) == {EXPERTS}
    for path, table in expected.items():
        assert routing.experts[path].dtype == np.int32
        assert np.array_equal(routing.experts[path], table)
    assert (model.program.calibration is None) == (target == "ideal")


def test_a_program_keeps_so_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.compiler.observe.ROUTED_TOKENS", 100)
    model = afmc.compile(
        tiny_model("qwen3_moe"),
        IDEAL,
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        level=0,
    )
    assert model.program.routing is not None
    assert model.program.routing.source == "100 tokens of letters"
    for path, table in routed(tiny_model("qwen3_moe"), 100).items():
        assert np.array_equal(model.program.routing.experts[path], table)


def test_inspect_says_how_even_the_routing_is() -> None:
    model = compiled("ideal")
    routing = model.program.routing
    assert routing is not None
    shares = np.bincount(routing.experts[EXPERTS].ravel(), minlength=4) / (2 * 256)
    assert model.inspect()["routing"] == {
        "source": "256 tokens of letters",
        "tokens": 256,
        "modules": 1,
        "most_popular_share": shares.max(),
        "least_popular_share": shares.min(),
        "even_share": 0.25,
    }


def test_routing_may_be_given(tmp_path: Path) -> None:
    given = np.random.default_rng(0).permuted([[0, 1, 2, 3]] * 9, axis=1)[:, :2]
    np.savez(tmp_path / "mine.npz", **{EXPERTS: given})  # type: ignore[arg-type]
    model = afmc.compile(
        tiny_model("qwen3_moe"),
        IDEAL,
        tokenizer=tiny_tokenizer(),
        routing=tmp_path / "mine.npz",
        level=0,
    )
    routing = model.program.routing
    assert routing is not None and routing.source == "mine.npz"
    assert routing.experts[EXPERTS].dtype == np.int32
    assert np.array_equal(routing.experts[EXPERTS], given)


DOES_NOT_FIT = "the routing r.npz does not fit:"
WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {EXPERTS: np.array([[0, 1]], np.int32), "model": np.array([[0, 1]], np.int32)},
        f"{DOES_NOT_FIT} the routing has model, which is no bank of experts.",
    ),
    ({}, f"{DOES_NOT_FIT} 1 of 1 banks of experts are not in it, {EXPERTS} first."),
    (
        {EXPERTS: np.array([[0, 4], [2, 3]])},
        f"{DOES_NOT_FIT} the routing of {EXPERTS} has 1 experts outside 0 to 3.",
    ),
    (
        {EXPERTS: np.array([[0, 2**40]])},
        f"the routing {{folder}}/r.npz has in {EXPERTS} something else than integers.",
    ),
    (
        {EXPERTS: np.array([[0.0, 1.0]])},
        f"the routing {{folder}}/r.npz has in {EXPERTS} something else than integers.",
    ),
    (
        {EXPERTS: np.array([[{}, {}]])},
        f"the routing {{folder}}/r.npz is no .npz file of arrays of integers ({EXPERTS} in it "
        f"holds objects, which are not read).",
    ),
]


@pytest.mark.parametrize(("arrays", "sentence"), WRONG)
def test_a_routing_that_does_not_fit(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    np.savez(tmp_path / "r.npz", **arrays)
    start = replace(compiled("ideal").program, routing=None)
    with pytest.raises(OptionError) as caught:
        with_routing(start, read_routing(tmp_path / "r.npz"))
    assert str(caught.value) == sentence.format(folder=tmp_path)


def test_a_routing_for_a_model_without_experts() -> None:
    dense = program_of([Matrix("a", 8, 8, "x", module="a")], "Dense")
    with pytest.raises(OptionError) as caught:
        with_routing(dense, Routing("r.npz", {}))
    assert str(caught.value) == "the routing r.npz does not fit: Dense has no banks of experts."


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x80\x04N.", b"\x93NUMPY\x01\x00v\x00"])
def test_a_routing_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(OptionError) as caught:
        read_routing(tmp_path / "r.npz")
    assert str(caught.value) == (
        f"the routing {tmp_path / 'r.npz'} is no .npz file of arrays of integers (File is not a "
        f"zip file)."
    )
    with pytest.raises(OptionError) as caught:
        read_routing(tmp_path / "nothing.npz")
    assert str(caught.value) == f"the routing {tmp_path / 'nothing.npz'} does not exist."
