"""Replicas in the simulator, whose tiles serve a token with whose noise, and in the report."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_model, tiny_tokenizer
from programs import compiled as mapped
from programs import llama
from rich.console import Console

import afmc
from afmc import CompiledModel, load_target
from afmc.data.text import Text
from afmc.inspect import inspect_json, render
from afmc.program.compiled import CompiledProgram
from afmc.program.program import Program
from afmc.simulator import reference
from afmc.simulator.devices.base import device_of
from afmc.simulator.replicas import Replicas, replicas_of
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, program
from afmc.targets import Target

SMALL = {"crossbar.rows": 20, "crossbar.columns": 24}
TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)
THREE = {"replicate.tiles": 1000, "replicate.tokens": 3}
O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@cache
def compiled(architecture: str, target: str) -> CompiledModel:
    """Everything three times."""
    return afmc.compile(
        tiny_model(architecture),
        load_target(target, SMALL),
        tokenizer=tiny_tokenizer(),
        text=TEXT,
        calibration_tokens=256,
        settings=THREE,
        level=0,
    )


def logits(module: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(input_ids=ids).logits


@pytest.fixture
def ids(generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 39, (3, 7), generator=generator)


def layer_of(model: CompiledModel, name: str) -> Replicas:
    layer = model.tiles[name]
    assert isinstance(layer, Replicas) and len(layer.replicas) == 3
    return layer


def test_on_perfect_tiles_replicas_change_nothing(ids: torch.Tensor) -> None:
    model = compiled("gpt2", "ideal-512")
    expected = logits(tiny_model("gpt2"), ids)
    module = model.write()
    assert sum(isinstance(m, Replicas) for m in module.modules()) == len(model.program.analog)
    torch.testing.assert_close(logits(module, ids), expected)
    torch.testing.assert_close(model.graph()(ids), expected)


def test_popular_experts_have_more_replicas(ids: torch.Tensor) -> None:
    """As many as share the expert's uses by three tokens among them."""
    model = compiled("mixtral", "ideal-512")
    program_, routing = model.program, model.program.routing
    assert routing is not None
    banks = [m for m in program_.analog if m.copies > 1]
    for bank in banks:
        [group] = [group for group in program_.groups if bank.name in group.members]
        seen = routing.experts[bank.module]
        counts = np.bincount(seen.ravel(), minlength=4)
        assert group.replicas == tuple(max(1, -(-3 * n // len(seen))) for n in counts.tolist())
        layers = [model.tiles[f"{bank.name}[{expert}]"] for expert in range(4)]
        assert tuple(len(replicas_of(layer)) for layer in layers) == group.replicas
    assert any(len(set(group.replicas)) > 1 for group in program_.groups)
    torch.testing.assert_close(logits(model.write(), ids), logits(model.digital, ids))
    torch.testing.assert_close(model.graph()(ids), logits(model.digital, ids))


def test_token_t_is_served_by_replica_t_modulo_their_number(generator: torch.Generator) -> None:
    """Against the reference simulator, on pieces read from the tables by hand."""
    model = compiled("llama", "afm-512-projected")
    model.write(seed=4, instance=1)
    layer = layer_of(model, O_PROJ)
    [index] = [i for i, group in enumerate(model.program.groups) if group.members == (O_PROJ,)]
    input_range = model.program.matrix(O_PROJ).input_range
    assert input_range is not None
    x = 0.3 * input_range * torch.randn(2, 7, 32, generator=generator)
    served = layer.multiply(x)
    tokens = x.view(14, 32)
    answers = []
    for replica in range(3):
        pieces = []
        for place in model.program.placements.tolist():
            group, _, number, row, col, rows, cols = model.program.blocks[place[0]].tolist()
            if (group, number) == (index, replica):
                pieces.append(Piece(row, col, rows, cols, Address(*place[1:])))
        device = device_of(model.target)
        held = program(layer.ideal, pieces, model.target, device, seed=4, instance=1)
        slow = reference.multiply(tokens, held, pieces, model.target, input_range)
        mine = served.view(14, 32)[replica::3]
        step = (2 * input_range * 14 * held.w_max / 254).amax(dim=0)
        assert ((mine - slow[replica::3]).abs() / step > 1e-3).double().mean() < 1e-2
        answers.append(slow)
    assert len({each._reads.initial_seed() for each in layer.replicas}) == 3
    assert (answers[0] - answers[1]).abs().mean() > 1e-3  # each with noise of its own
    assert (answers[1] - answers[2]).abs().mean() > 1e-3


def test_one_token_goes_to_the_first_replica(generator: torch.Generator) -> None:
    model = compiled("llama", "afm-512-projected")
    model.write()
    layer = layer_of(model, O_PROJ)
    x = torch.randn(1, 32, generator=generator)
    assert torch.equal(layer.multiply(x), layer.replicas[0].multiply(x))
    assert layer(x.view(32)).shape == (32,)


def test_corrections_are_each_replicas_own() -> None:
    spread = {
        "output.gain_std": 0.3,
        "input.bits": 12,
        "output.bits": 12,
        "device.noise": None,
    }
    model = compiled("llama", "afm-512-projected").on(spread)
    result = model.validate(TEXT, tokens=64, window=32, instances=1, calibrate=64)
    without, corrected = result.outcomes
    assert corrected.kl_divergence.mean < 0.5 * without.kl_divergence.mean
    offsets = [each.offset for each in layer_of(model, O_PROJ).replicas]
    assert all(each is not None for each in offsets)
    cost = result.calibration
    assert cost is not None
    stored = 3 * sum(m.weights for m in model.program.analog)
    assert cost.digital_macs == 64 * stored
    assert cost.reads == 64 * len(model.program.blocks)
    columns = sum(m.cols * -(-m.rows // 20) for m in model.program.analog)
    assert cost.digital_operations_per_token == columns  # a token goes to one replica


def test_saved_and_loaded_they_are_the_same(tmp_path: Path, ids: torch.Tensor) -> None:
    model = compiled("llama", "afm-512-projected")
    expected = logits(model.write(seed=2), ids)
    model.save(tmp_path / "out")
    again = afmc.load(tmp_path / "out")
    assert again.program.replication == model.program.replication
    assert again.program.groups == model.program.groups
    assert torch.equal(logits(again.write(seed=2), ids), expected)
    assert isinstance(model.run("the quick", max_tokens=5), str)


def shown(program_: Program, target: Target) -> tuple[dict[str, Any], str]:
    """What `inspect --json` has, and what it shows a person."""
    measured = {"wall_s": 1.0, "peak_rss_mb": 1.0, "stages_s": {}}
    artifact = CompiledProgram(program_, target, (), measured)
    console = Console(width=300)
    with console.capture() as captured:
        console.print(render(artifact), highlight=False)
    return inspect_json(artifact), captured.get()


def tiny_llama(settings: dict[str, object], **figures: object) -> tuple[dict[str, Any], str]:
    start = llama(layers=2, hidden=40, kv=8, wide=56, vocabulary=100)
    overrides = {key.replace("__", "."): value for key, value in figures.items()}
    target = load_target("ideal-512", {**SMALL, "chip.tiles": 4, **overrides})
    return shown(mapped(start, target, settings), target)


def test_what_replicas_save_is_reported() -> None:
    options: dict[str, object] = {"replicate.tiles": 400, "replicate.tokens": 10}
    data, text = tiny_llama(options, system__chips=100)
    assert data["replication"] == {
        "objective": "throughput",
        "tokens": 10,
        "budget": 400,
        "crossbars": 310,
        "turns": 2,
        "turns_alone": 10,
        "lower_bound": 2,
        "status": "OPTIMAL",
        "divergence": None,
        "divergence_alone": None,
        "divergence_bound": None,
        "replicas": 248,
        "replicas_waiting": 0,
        "gain": "10 turns become 2",
    }
    assert (
        "248 blocks (310 of at most 400 crossbars), for throughput at replicate.tokens=10: 10 "
        "turns become 2; at least 2: OPTIMAL"
    ) in text
    assert data["utilization"] <= 1


def test_no_gain_says_why() -> None:
    for objective in ("throughput", "latency"):
        options: dict[str, object] = {"replicate.tiles": 400, "replicate.objective": objective}
        data, text = tiny_llama(options)
        assert data["replication"]["replicas"] == 0
        assert (
            "no gain: for one token no matrix is used more than once, and a second copy "
            "does not shorten one use; prompts and batches (replicate.tokens), popular experts "
            "and convolutions gain"
        ) in text
    data, text = tiny_llama({"replicate.tiles": 62, "replicate.tokens": 2})
    assert data["replication"]["gain"] == "no gain: with 62 crossbars it stays at 2 turns"
    data, text = tiny_llama({})
    assert data["replication"] is None and "replica" not in text


def test_replicas_on_other_tiers_of_a_tile_wait() -> None:
    """On one tile of many tiers, and on as many tiles as there are blocks."""
    options: dict[str, object] = {"replicate.tiles": 400, "replicate.tokens": 2}
    data, text = tiny_llama(options, tile__tiers=200, chip__tiles=1)
    assert data["replication"]["replicas"] == data["replication"]["replicas_waiting"] == 62
    assert "62 blocks, 62 of which wait for one (124 of" in text
    data, _ = tiny_llama(options, tile__tiers=200, chip__tiles=124)
    assert data["replication"]["replicas_waiting"] == 0


def test_what_a_limited_system_has_left() -> None:
    data, text = tiny_llama({}, system__chips=30)
    assert data["limits"] == [
        {"of": "chips", "demand": 16, "supply": 30, "left": 14},
        {"of": "crossbars", "demand": 62, "supply": 120, "left": 58},
        {"of": "cells", "demand": 25_120, "supply": 120 * 20 * 24, "left": 32_480},
    ]
    assert "the system has 30: 14 chips and 58 of its 120 crossbars are left" in text
    data, text = tiny_llama({})
    assert data["limits"] == [] and "the system sets no limit" in text
