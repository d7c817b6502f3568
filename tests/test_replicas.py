"""Replicas in the simulator: whose tiles serve a token, and with whose noise."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from models import tiny_model, tiny_tokenizer

import afmc
from afmc import CompiledModel, load_target
from afmc.simulator import reference
from afmc.simulator.device import device_of
from afmc.simulator.random import Address
from afmc.simulator.replicas import Replicas
from afmc.simulator.tiles import Piece, program
from afmc.text import Text

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


def test_token_t_is_served_by_replica_t_modulo_their_number(generator: torch.Generator) -> None:
    """Against the reference simulator, on pieces read from the tables by hand."""
    model = compiled("llama", "afm-512-projected")
    model.write(seed=4, instance=1)
    mapped, layer = model.program, layer_of(model, O_PROJ)
    [index] = [i for i, group in enumerate(mapped.groups) if group.members == (O_PROJ,)]
    input_range = mapped.matrix(O_PROJ).input_range
    assert input_range is not None
    x = 0.3 * input_range * torch.randn(2, 7, 32, generator=generator)
    served = layer.multiply(x)
    tokens = x.view(14, 32)
    answers = []
    for replica in range(3):
        pieces = []
        for place in mapped.placements.tolist():
            group, _, number, row, col, rows, cols = mapped.blocks[place[0]].tolist()
            if (group, number) == (index, replica):
                pieces.append(Piece(row, col, rows, cols, Address(*place[1:])))
        device = device_of(model.target)
        held = program(layer.ideal, pieces, model.target, device, seed=4, instance=1)
        slow = reference.multiply(tokens, held, pieces, model.target, input_range)
        mine = served.view(14, 32)[replica::3]
        step = (2 * input_range * 14 * held.w_max / 254).amax(dim=0)
        assert ((mine - slow[replica::3]).abs() / step > 1e-3).double().mean() < 1e-2
        answers.append(slow)
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
